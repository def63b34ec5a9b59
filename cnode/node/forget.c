/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --forget: what a node has kept is dropped, while no node runs that has it. It
 * needs neither a node name nor a cookie.
 */
#include "node/forget.h"

#include <string.h>

#include "base/log.h"
#include "restore/restore.h"
#include "state/state.h"

enum exit_status forget_all(const char *path)
{
	struct state *state;
	enum exit_status status = state_open_any(&state, path);
	int error;

	if (status != STATUS_OK)
		return status;
	error = state_forget(state, restore_log_forgotten, NULL);
	if (error < 0)
		log_error("--keep %s: not all of it could be dropped: %s", path,
			  strerror(-error));
	else
		log_notice("nothing is kept in %s any more", path);
	state_close(state);
	return error < 0 ? STATUS_OTHER : STATUS_OK;
}
