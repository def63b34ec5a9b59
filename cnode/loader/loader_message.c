/* SPDX-License-Identifier: Apache-2.0 */
/* One message of the loader's protocol, with its descriptors. */
#include "loader/loader_message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS 1    /* between tries to send descriptors, */
#define MAX_TRIES 500 /* and these, of who does not wait */

union control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(LOADER_MESSAGE_FDS * sizeof(int))];
};

void loader_parcel_close(struct loader_parcel *parcel)
{
	for (unsigned i = 0; i < parcel->fd_count; i++)
		if (parcel->fds[i] >= 0)
			close(parcel->fds[i]);
	parcel->fd_count = 0;
}

static void attach_fds(struct msghdr *header, union control *control,
		       const int *fds, unsigned count)
{
	struct cmsghdr *cmsg;

	if (count == 0)
		return;
	memset(control, 0, sizeof(*control));
	header->msg_control = control->bytes;
	header->msg_controllen = CMSG_SPACE(count * sizeof(int));
	cmsg = CMSG_FIRSTHDR(header);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, count * sizeof(int));
}

/* sendmsg(2) only reads it. */
static struct iovec part(const void *bytes, size_t size)
{
	struct iovec part = { .iov_len = size };

	memcpy(&part.iov_base, &bytes, sizeof(part.iov_base));
	return part;
}

/*
 * The kernel allows a user but so many descriptors on their way, of all
 * processes together: others may have them, for as long as it takes the node to
 * read them or to give them up.
 */
static bool may_try_again(unsigned *tries, bool wait)
{
	if (errno != ETOOMANYREFS || (!wait && *tries == MAX_TRIES))
		return false;
	++*tries;
	poll(NULL, 0, PAUSE_MS);
	return true;
}

int loader_message_send(int socket, const struct loader_message *message,
			const void *bytes, const int *fds, bool wait)
{
	struct iovec parts[] = { part(message, sizeof(*message)),
				 part(bytes, message->size) };
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = 2 };
	union control control;
	unsigned tries = 0;
	ssize_t n;

	if (message->fd_count > LOADER_MESSAGE_FDS)
		return -E2BIG;
	attach_fds(&header, &control, fds, message->fd_count);
	do {
		n = sendmsg(socket, &header,
			    MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	} while (n < 0 && (errno == EINTR || may_try_again(&tries, wait)));
	return n < 0 ? -errno : 0;
}

/* There is one header for all descriptors of a message. */
static void take_fds(struct msghdr *header, struct loader_parcel *parcel)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
	size_t size;

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET ||
	    cmsg->cmsg_type != SCM_RIGHTS || cmsg->cmsg_len < CMSG_LEN(0))
		return;
	size = cmsg->cmsg_len - CMSG_LEN(0);
	if (size > sizeof(parcel->fds))
		return;
	memcpy(parcel->fds, CMSG_DATA(cmsg), size);
	parcel->fd_count = (unsigned)(size / sizeof(int));
}

static int check(const struct msghdr *header, ssize_t size,
		 const struct loader_message *message,
		 const struct loader_parcel *parcel)
{
	if (header->msg_flags & MSG_CTRUNC)
		return -EMFILE;
	if ((header->msg_flags & MSG_TRUNC) ||
	    size < (ssize_t)sizeof(*message) ||
	    message->fd_count != parcel->fd_count)
		return -EPROTO;
	return 0;
}

ssize_t loader_message_receive(int socket, struct loader_message *message,
			       void *bytes, size_t size,
			       struct loader_parcel *parcel)
{
	struct iovec parts[] = {
		{ message, sizeof(*message) },
		{ bytes, size },
	};
	union control control;
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;
	int error;

	parcel->fd_count = 0;
	do {
		n = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	/* an empty message is no end of a SOCK_SEQPACKET, but none of ours */
	if (n == 0)
		return -EPIPE;
	take_fds(&header, parcel);
	error = check(&header, n, message, parcel);
	if (error == 0)
		return n - (ssize_t)sizeof(*message);
	loader_parcel_close(parcel);
	return error;
}
