/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Of IPv4 or IPv6. */
struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};

	socklen_t size;
};

/* [ADDRESS%SCOPE]:PORT, with a NUL */
#define ADDRESS_TEXT_SIZE 96

/*
 * Reads a number, such as 127.0.0.1, ::1 or fe80::1%eth0, never a name; its
 * port is 0. False: it is none.
 */
bool address_parse(const char *text, struct address *address);

uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);

/* Without its port. One of IPv4 that came by an IPv6 socket is as it was. */
void address_format_host(const struct address *address,
			 char text[ADDRESS_TEXT_SIZE]);
/* With it, as 127.0.0.1:4369 or [::1]:4369. */
void address_format(const struct address *address,
		    char text[ADDRESS_TEXT_SIZE]);

/* The other end of a connection; 0 or -errno. */
int address_of_peer(int fd, struct address *address);

#endif
