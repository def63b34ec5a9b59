/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of network interfaces, from /proc: a socket of netlink that stays
 * open could change them as well.
 */
#include "host/interfaces.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "host/bpf_fs.h"

#define NAMES "/proc/self/net/dev"
#define LINE_SIZE 1024 /* a name, and 16 numbers of up to 20 digits */

/* Of a line such as `  eth0: 1234 ...', whose name has no space or colon. */
static char *name_in(char *line)
{
	char *end = strchr(line, ':');

	if (!end)
		return NULL;
	*end = '\0';
	line += strspn(line, " ");
	return *line && strlen(line) < IF_NAMESIZE && !strpbrk(line, " |")
		       ? line
		       : NULL;
}

int interfaces_each(interfaces_visitor visit, void *context)
{
	FILE *file = fopen(NAMES, "re");
	char line[LINE_SIZE];
	int result = 0;

	if (!file)
		return bpf_fs_shortage(-errno);
	while (result == 0 && fgets(line, sizeof(line), file)) {
		const char *name = name_in(line);

		if (name)
			result = visit(context, name);
	}
	fclose(file);
	return result;
}
