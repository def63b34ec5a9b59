/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPENING_H
#define OPENING_H

#include <stdbool.h>

#include "dist/transport.h"

struct tls;

/*
 * What a peer says first, which shows whether it speaks TLS; then the handshake
 * of TLS, if it does, until the transport's deadline. NULL tls: none may;
 * or_plain: others may, too. NULL, or why it is refused, which it has been told
 * as it understands it.
 */
const char *opening_settle(struct transport *t, struct tls *tls, bool or_plain);

/* In words, why receiving or sending failed with that errno. */
const char *opening_failure(const struct transport *t, int error);

#endif
