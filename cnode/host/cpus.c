/* SPDX-License-Identifier: Apache-2.0 */
/* Counts processors in a list of the kernel's, such as `0-3,8'. */
#include "host/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LIST_SIZE 4096 /* sysfs shows no more than a page */

static int count(const char *list)
{
	unsigned long first, last;
	int n = 0;
	char *end;

	for (;; list = end + 1) {
		first = last = strtoul(list, &end, 10);
		if (end == list)
			return -EINVAL;
		if (*end == '-') {
			list = end + 1;
			last = strtoul(list, &end, 10);
			if (end == list || last < first)
				return -EINVAL;
		}
		n += (int)(last - first) + 1;
		if (*end != ',')
			return n;
	}
}

int cpus_online(void)
{
	char list[LIST_SIZE];
	int fd = open(CPUS_ONLINE, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int error;

	if (fd < 0)
		return -errno;
	n = read(fd, list, sizeof(list) - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return -error;
	list[n] = '\0';
	return count(list);
}
