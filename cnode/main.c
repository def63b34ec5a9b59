/* SPDX-License-Identifier: Apache-2.0 */
/* Options -> node -> exit status. */
#include <fcntl.h>
#include <unistd.h>

#include "node/forget.h"
#include "node/node.h"
#include "node/signals.h"

/* No descriptor opened later must take the place of standard input or the log.
 */
static void fill_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char *argv[])
{
	static struct options
		options; /* threads use it until the process exits */

	fill_standard_descriptors();
	signals_begin();
	switch (options_read(&options, argc, argv)) {
	case OPTIONS_DONE:
		return STATUS_OK;
	case OPTIONS_BAD:
		return STATUS_USAGE;
	case OPTIONS_LOST:
		return STATUS_OTHER;
	case OPTIONS_RUN:
		break;
	}
	if (options.forget)
		return (int)forget_all(options.keep);
	return (int)node_run(&options);
}
