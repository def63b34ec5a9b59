/* SPDX-License-Identifier: Apache-2.0 */
/* During the start: waiting for something else, and saying so in the log. */
#include "base/patience.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"

/* Until end, by clock_ms(). */
static bool is_readable(int fd, int64_t end)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	int64_t left;
	int n;

	do {
		left = end == INT64_MAX ? -1 : end - clock_ms();
		n = poll(&ready, 1, left < -1 ? 0 : (int)left);
	} while (n < 0 && errno == EINTR);
	return n != 0;
}

bool patience_readable(int fd, int most_ms, const char *what)
{
	int64_t begin = clock_ms();

	if (is_readable(fd, begin + PATIENCE_MS))
		return true;
	log_notice("waiting for %s", what);
	return is_readable(fd, most_ms < 0 ? INT64_MAX : begin + most_ms);
}
