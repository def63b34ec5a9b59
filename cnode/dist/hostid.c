/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gethostid(3) in the place of libc's, for libei, which makes its challenges of
 * the time, process numbers and this. libc's looks up the host's own name, in
 * files and perhaps by a name server, with every handshake; a random number is
 * what a challenge needs, and neither file nor socket.
 */
#include <sys/random.h>
#include <unistd.h>

long gethostid(void)
{
	long number = 0;

	return getrandom(&number, sizeof(number), 0) == sizeof(number) ? number
								       : 0;
}
