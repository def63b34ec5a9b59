/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit to pins. Each stays in the kernel's memory with its map, also when
 * this process has ended, and is one more to be opened for info/1 and list/0.
 * Anyone may remove one at any time: so they are counted anew for each that is
 * made, by reading the folders, which costs less than the call that asked.
 */
#include "limits/pin_limit.h"

#include <errno.h>

#include "base/log.h"
#include "bpf/map.h"
#include "bpf/pins.h"
#include "host/bpf_fs.h"
#include "host/pin_path.h"

void pin_limit_init(struct pin_limit *limit, uint32_t max)
{
	limit->max = max;
	pthread_mutex_init(&limit->lock, NULL);
}

static int refuse(const struct pin_limit *limit, const char *who)
{
	static struct log_limit lines = LOG_LIMIT_OF("refused", "max_pins");

	log_limited(&lines, LOG_WARNING,
		    "refused %s a pin: there are --max-pins %u already; unpin "
		    "some, or raise it",
		    who, limit->max);
	return -ENOSPC;
}

/*
 * To look up a path can take as long as the server of a file system likes: this
 * is done without the lock.
 */
int pin_limit_pin(struct pin_limit *limit, const struct root *root,
		  const struct map *map, const struct pin_path *path,
		  const char *who)
{
	int result;

	if (!bpf_fs_has(path->fd)) /* the kernel makes none there */
		return map_pin(map, path->text);
	pthread_mutex_lock(&limit->lock);
	result = pins_reach(root->fd, limit->max);
	if (result == 0)
		result = map_pin(map, path->text);
	pthread_mutex_unlock(&limit->lock);
	return result > 0 ? refuse(limit, who) : result;
}

/* What has been looked at is what is removed, as far as this process goes. */
int pin_limit_unpin(struct pin_limit *limit, const struct map *map,
		    const struct pin_path *path)
{
	int error;

	if (!bpf_fs_has(path->fd))
		return map_unpin(map, path->text);
	pthread_mutex_lock(&limit->lock);
	error = map_unpin(map, path->text);
	pthread_mutex_unlock(&limit->lock);
	return error;
}
