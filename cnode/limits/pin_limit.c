/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit on pins. A pin keeps its object in the kernel's memory even after
 * this process ends, and info/1 and list/0 have to open each one. Other
 * processes may remove pins at any time, so they are counted anew for each new
 * pin, by reading the folders, which costs less than the request itself.
 */
#include "limits/pin_limit.h"

#include <errno.h>

#include "base/log.h"
#include "bpf/pins.h"
#include "bpf/resource_pin.h"
#include "host/bpf_fs.h"
#include "host/pin_path.h"

void pin_limit_init(struct pin_limit *limit, uint32_t max)
{
	limit->max = max;
	pthread_mutex_init(&limit->lock, NULL);
}

static int refuse(const struct pin_limit *limit, const char *caller)
{
	static struct log_limit lines = LOG_LIMIT_OF("refused", "max_pins");

	log_limited(&lines, LOG_WARNING,
		    "refused %s a pin: there are --max-pins %u already; unpin "
		    "some, or raise it",
		    caller, limit->max);
	return -ENOSPC;
}

/*
 * A file system's server may take as long as it likes to look up a path: no
 * lock is held then.
 */
int pin_limit_pin(struct pin_limit *limit, const struct root *root,
		  const struct resource *resource, const struct pin_path *path,
		  const char *caller)
{
	int result;

	if (!bpf_fs_has(path->fd)) /* the kernel pins nothing there */
		return resource_pin(resource, path->text);
	pthread_mutex_lock(&limit->lock);
	result = pins_reach(root->fd, limit->max);
	if (result == 0)
		result = resource_pin(resource, path->text);
	pthread_mutex_unlock(&limit->lock);
	return result > 0 ? refuse(limit, caller) : result;
}

/* Locked, so that no thread replaces the pin between check and removal. */
int pin_limit_unpin(struct pin_limit *limit, const struct resource *resource,
		    const struct pin_path *path)
{
	int error;

	if (!bpf_fs_has(path->fd))
		return resource_unpin(resource, path->text);
	pthread_mutex_lock(&limit->lock);
	error = resource_unpin(resource, path->text);
	pthread_mutex_unlock(&limit->lock);
	return error;
}
