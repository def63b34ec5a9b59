/* SPDX-License-Identifier: Apache-2.0 */
/* Lists qdiscs and filters by rtnetlink(7). */
#include "loader/tc_list.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PART_SIZE 65536 /* more than the kernel sends at once */
#define TRIES 10        /* where the list changed meanwhile */

struct listing {
	tc_visitor visit;
	void *context;
	bool changed;
	bool done;
};

static int request(int socket, uint16_t type, const struct tcmsg *of)
{
	const struct {
		struct nlmsghdr header;
		struct tcmsg message;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = type,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.message = *of,
	};

	return send(socket, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/* Without the check for its end, as the kernel writes whole attributes. */
static void read_entry(struct nlmsghdr *header, struct tc_entry *entry)
{
	struct tcmsg *message = NLMSG_DATA(header);
	struct rtattr *attribute = TCA_RTA(message);
	int left = (int)TCA_PAYLOAD(header);

	*entry = (struct tc_entry){ .message = message, .kind = "" };
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == TCA_KIND)
			entry->kind = RTA_DATA(attribute);
		else if (attribute->rta_type == TCA_CHAIN)
			memcpy(&entry->chain, RTA_DATA(attribute),
			       sizeof(entry->chain));
	}
}

/* One message: 0 or -errno. */
static int take(struct nlmsghdr *header, struct listing *listing)
{
	struct tc_entry entry;
	int error;

	if (header->nlmsg_flags & NLM_F_DUMP_INTR)
		listing->changed = true;
	switch (header->nlmsg_type) {
	case NLMSG_DONE:
	case NLMSG_ERROR:
		listing->done = true;
		memcpy(&error, NLMSG_DATA(header), sizeof(error));
		return error < 0 ? error : 0;
	case RTM_NEWQDISC:
	case RTM_NEWTFILTER:
		read_entry(header, &entry);
		listing->visit(&entry, listing->context);
		return 0;
	default:
		return 0;
	}
}

static int receive(int socket, struct listing *listing)
{
	static union {
		struct nlmsghdr header;
		char bytes[PART_SIZE];
	} part;
	struct iovec room = { &part, sizeof(part) };
	struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1 };
	struct nlmsghdr *header = &part.header;
	ssize_t n = recvmsg(socket, &message, 0);
	int error = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (message.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	for (unsigned left = (unsigned)n;
	     error == 0 && !listing->done && NLMSG_OK(header, left);
	     header = NLMSG_NEXT(header, left))
		error = take(header, listing);
	return error;
}

static int list_once(uint16_t type, const struct tcmsg *of,
		     struct listing *listing)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int error;

	if (fd < 0)
		return -errno;
	error = request(fd, type, of);
	while (error == 0 && !listing->done)
		error = receive(fd, listing);
	close(fd);
	return error;
}

int tc_list(uint16_t type, const struct tcmsg *of, tc_visitor visit,
	    void *context)
{
	struct listing listing;
	int error;

	for (int i = 0; i < TRIES; i++) {
		listing =
			(struct listing){ .visit = visit, .context = context };
		error = list_once(type, of, &listing);
		if (error < 0 || !listing.changed)
			return error;
	}
	return -EAGAIN;
}
