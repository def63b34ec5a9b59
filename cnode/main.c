/* SPDX-License-Identifier: Apache-2.0 */
/* Options -> node -> exit status. */
#include "node.h"

int main(int argc, char *argv[])
{
	struct options options;

	switch (options_read(&options, argc, argv)) {
	case OPTIONS_DONE:
		return STATUS_OK;
	case OPTIONS_BAD:
		return STATUS_USAGE;
	case OPTIONS_RUN:
		break;
	}
	log_set_level(options.log_level);
	return (int)node_run(&options);
}
