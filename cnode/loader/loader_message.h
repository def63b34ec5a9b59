/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOADER_MESSAGE_H
#define LOADER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "loader/loader_protocol.h"

#define LOADER_MESSAGE_FDS 253 /* SCM_MAX_FD */

/* What comes with a message. */
struct loader_parcel {
	int fds[LOADER_MESSAGE_FDS]; /* CLOEXEC */
	unsigned fd_count;
};

/*
 * Sends message->size bytes behind it, and message->fd_count descriptors. 0, or
 * -errno: -EAGAIN if the socket is full, -ETOOMANYREFS if too many descriptors
 * of this user have been on their way for a while, unless it waits.
 */
int loader_message_send(int socket, const struct loader_message *message,
			const void *bytes, const int *fds, bool wait);

/*
 * Does not wait. Returns how many bytes came behind the message. -EAGAIN: none
 * is there; -EPIPE: the other end is closed; -EMFILE: no descriptors free;
 * -EPROTO: it is none of this protocol. After an error the parcel is empty.
 */
ssize_t loader_message_receive(int socket, struct loader_message *message,
			       void *bytes, size_t size,
			       struct loader_parcel *parcel);

void loader_parcel_close(struct loader_parcel *parcel);

#endif
