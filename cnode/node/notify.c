/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talks to a service manager by the protocol of sd_notify(3). libsystemd is not
 * used: it opens a socket for each message, which the sandbox forbids, and
 * brings a dozen libraries into a privileged process.
 */
#include "node/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define STATUS_MS 5000 /* between two looks at the status */
#define RETRY_MS 100   /* after the manager's socket was full */

/* "@name" is an abstract address. 0 if text is no address. */
static socklen_t make_address(struct sockaddr_un *address, const char *text)
{
	size_t length = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || !text[1] ||
	    length >= sizeof(address->sun_path))
		return 0;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, text, length);
	if (text[0] == '@')
		address->sun_path[0] = '\0';
	else
		length++;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Connected at the start: the sandbox allows neither sockets nor paths later.
 */
static int open_socket(const char *text)
{
	struct sockaddr_un address;
	socklen_t size = make_address(&address, text);
	int fd, error;

	if (size == 0)
		return -EINVAL;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, size) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Half of the watchdog's timeout, in ms; 0: it does not watch this process. */
static int64_t read_watchdog(const char *usec, const char *pid)
{
	char *end;
	unsigned long long time;

	if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	time = strtoull(usec, &end, 10);
	if (errno || end == usec || *end || time < 2000 || time > INT64_MAX) {
		log_warning("WATCHDOG_USEC is %s, which is no time in "
			    "microseconds: no keep-alives are sent",
			    usec);
		return 0;
	}
	return (int64_t)(time / 2000);
}

void notify_open(struct notify *notify)
{
	const char *address = getenv("NOTIFY_SOCKET");
	int64_t half =
		read_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));

	*notify = (struct notify){
		.fd = -1,
		.watchdog = half > 0,
		.every = half > 0 && half < STATUS_MS ? half : STATUS_MS,
	};
	if (address && *address) {
		notify->fd = open_socket(address);
		if (notify->fd < 0)
			log_warning("NOTIFY_SOCKET is %s: %s; the service "
				    "manager is not notified",
				    address, strerror(-notify->fd));
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

int notify_wait(const struct notify *notify)
{
	int64_t wait = notify->due - clock_ms();

	if (notify->fd < 0)
		return -1;
	return wait > 0 ? (int)wait : 0;
}

/* False if the socket is full: try again later. */
static bool send_message(struct notify *notify, const char *message)
{
	if (send(notify->fd, message, strlen(message), MSG_NOSIGNAL) >= 0)
		return true;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		return false;
	log_warning("the service manager is no longer notified: %s",
		    strerror(errno));
	notify_close(notify);
	return true;
}

void notify_running(struct notify *notify, const char *status)
{
	bool is_new = strcmp(status, notify->status) != 0;
	char message[NOTIFY_STATUS_SIZE + 64];

	snprintf(message, sizeof(message), "%s%s%s%s%s",
		 notify->ready ? "" : "READY=1\n",
		 notify->watchdog ? "WATCHDOG=1\n" : "",
		 is_new ? "STATUS=" : "", is_new ? status : "",
		 is_new ? "\n" : "");
	notify->due = clock_ms() + notify->every;
	if (!*message)
		return;
	if (send_message(notify, message)) {
		notify->ready = true;
		snprintf(notify->status, sizeof(notify->status), "%s", status);
	} else if (notify->every > RETRY_MS) {
		notify->due = clock_ms() + RETRY_MS;
	}
}

void notify_stopping(struct notify *notify)
{
	if (notify->fd >= 0)
		send_message(notify, "STOPPING=1\nSTATUS=ending\n");
}
