/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One child of the loader, without the loader: confines itself as that does,
 * does a job and answers.
 *
 *	run_job SOCKET JOB WORDS RECORDS OBJECT MEMFD [FD...]
 *
 * RECORDS and OBJECT are their sizes in the memfd. Its parent gets the parts of
 * the answer on the socket, and how it ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bpf/program_words.h"
#include "confine/privilege.h"
#include "host/user.h"
#include "loader/loader_child.h"

#define FIXED 6 /* arguments before the descriptors */

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char *argv[])
{
	static struct user nobody_else;
	static struct loader_parcel parcel;
	static struct loader_confine confine;
	struct loader_options options = { .load_seconds = 20,
					  .run_seconds = 20,
					  .memory = 512u << 20,
					  .user = &nobody_else };
	struct loader_message message = { .type = LOADER_REQUEST };

	if (argc <= FIXED || argc - FIXED > LOADER_MESSAGE_FDS ||
	    program_words_read(argv[3], &options.words))
		return 2;
	message.job = number(argv[2]);
	message.records_size = number(argv[4]);
	message.object_size = number(argv[5]);
	for (int i = FIXED; i < argc; i++)
		parcel.fds[parcel.fd_count++] = atoi(argv[i]);
	privilege_begin(true);
	if (message.job >= LOADER_JOBS ||
	    !loader_confine_self(&confine, &options))
		return 2;
	loader_child_run(&(struct loader_task){
		.options = &options,
		.confine = &confine,
		.message = &message,
		.parcel = &parcel,
		.socket = atoi(argv[1]),
		.loader = getppid(),
	});
}
