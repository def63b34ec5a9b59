/* SPDX-License-Identifier: Apache-2.0 */
#include "loader/loader_process.h"

#include <unistd.h>

_Noreturn void loader_process_run(const struct loader_options *options,
				  const int *ends, pid_t node)
{
	(void)options;
	(void)ends;
	(void)node;
	_exit(1);
}
