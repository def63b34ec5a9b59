/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of both kinds of IP, as texts. Looks no name up. */
#include "dist/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

bool address_parse(const char *text, struct address *address)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
	};
	struct addrinfo *found;

	/* what inet_aton(3) takes, such as 127.1, is no address here */
	if (!strchr(text, ':') &&
	    inet_pton(AF_INET, text, &address->v4.sin_addr) != 1)
		return false;
	if (getaddrinfo(text, NULL, &hints, &found) != 0)
		return false;
	memset(address, 0, sizeof(*address));
	memcpy(&address->any, found->ai_addr, found->ai_addrlen);
	address->size = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

uint16_t address_port(const struct address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
							: address->v4.sin_port);
}

void address_set_port(struct address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

static bool is_mapped(const struct address *address)
{
	return address->any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr);
}

/* Not by getnameinfo(3), which takes system calls for the name of a scope. */
static void format_v6(const struct sockaddr_in6 *v6,
		      char text[ADDRESS_TEXT_SIZE])
{
	size_t used;

	inet_ntop(AF_INET6, &v6->sin6_addr, text, ADDRESS_TEXT_SIZE);
	used = strlen(text);
	if (v6->sin6_scope_id > 0)
		snprintf(text + used, ADDRESS_TEXT_SIZE - used, "%%%u",
			 v6->sin6_scope_id);
}

void address_format_host(const struct address *address,
			 char text[ADDRESS_TEXT_SIZE])
{
	if (is_mapped(address))
		inet_ntop(AF_INET, &address->v6.sin6_addr.s6_addr[12], text,
			  ADDRESS_TEXT_SIZE);
	else if (address->any.sa_family == AF_INET6)
		format_v6(&address->v6, text);
	else
		inet_ntop(AF_INET, &address->v4.sin_addr, text,
			  ADDRESS_TEXT_SIZE);
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
	char host[ADDRESS_TEXT_SIZE];

	address_format_host(address, host);
	snprintf(text, ADDRESS_TEXT_SIZE,
		 strchr(host, ':') ? "[%.80s]:%u" : "%.80s:%u", host,
		 address_port(address));
}

int address_of_peer(int fd, struct address *address)
{
	memset(address, 0, sizeof(*address));
	address->size = sizeof(address->v6);
	return getpeername(fd, &address->any, &address->size) < 0 ? -errno : 0;
}
