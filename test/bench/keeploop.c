/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens each pin in a folder by BPF_OBJ_GET, and nothing else: what a node that
 * keeps its handles cannot do without.
 *
 *	keeploop DIR
 *
 * Prints the time it took in nanoseconds, wall clock and CPU, and how many
 *there were, arrays of records not among them.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char *argv[])
{
	struct rlimit limit;
	uint64_t wall = now(CLOCK_MONOTONIC);
	uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	unsigned long opened = 0;
	struct dirent *entry;
	DIR *folder;

	if (argc != 2)
		errx(2, "usage: keeploop DIR");
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	folder = opendir(argv[1]);
	if (!folder || chdir(argv[1]) < 0)
		err(1, "%s", argv[1]);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] != 'h')
			continue;
		if (bpf_obj_get(entry->d_name) < 0)
			err(1, "%s", entry->d_name);
		opened++;
	}
	printf("%llu %llu %lu\n",
	       (unsigned long long)(now(CLOCK_MONOTONIC) - wall),
	       (unsigned long long)(now(CLOCK_PROCESS_CPUTIME_ID) - cpu),
	       opened);
	return EXIT_SUCCESS;
}
