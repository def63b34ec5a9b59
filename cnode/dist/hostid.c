/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces libc's gethostid(3). libei derives its challenges from the time,
 * process numbers and this. libc's would look up the host's name in files, and
 * perhaps ask a name server, in every handshake; a random number serves a
 * challenge better, and needs neither file nor socket.
 */
#include <sys/random.h>
#include <unistd.h>

long gethostid(void)
{
	long number = 0;

	return getrandom(&number, sizeof(number), 0) == sizeof(number) ? number
								       : 0;
}
