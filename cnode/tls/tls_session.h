/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tls/cert_names.h"

struct tls;

/* The most bytes that one session takes, while it sends large answers. */
#define TLS_SESSION_SIZE ((size_t)512 * 1024)

/*
 * The TLS of one connection, which it has accepted. It lies between two
 * buffers and makes no system call: what has come over the socket goes into it
 * by tls_session_room() and _received(), what is to go there is got from
 * _owed(), and is so after any call of the others. Not thread-safe, but for
 * _room() and _received(), which one thread may use beside _write() and _owed()
 * in others.
 */
struct tls_session;

/* NULL: no memory. */
struct tls_session *tls_session_new(struct tls *tls);
void tls_session_free(struct tls_session *session); /* takes NULL */

/* Where so many bytes may be put; then, how many were. */
char *tls_session_room(struct tls_session *session, size_t *size);
void tls_session_received(struct tls_session *session, size_t size);

/* What is to be sent; then, how much of it was. */
size_t tls_session_owed(const struct tls_session *session, const char **bytes);
void tls_session_sent(struct tls_session *session, size_t size);

/*
 * These return -EAGAIN if more has to be received first, and -EPROTO after a
 * failure, for good; then tls_session_failure() says in words what the peer,
 * "it", has done.
 */

/* The handshake. 0: it is over, and the peer's certificate verified. */
int tls_session_shake_hands(struct tls_session *session);

/* > 0: so many bytes of plain text; 0: the peer has ended the session. */
ssize_t tls_session_read(struct tls_session *session, char *data, size_t size);

/*
 * A peer may begin a handshake at any time, in which nothing can be written.
 * Goes on with it. 0: there is none, or it is over.
 */
int tls_session_settle(struct tls_session *session);

/* 0: all of it is owed now. -EAGAIN: see tls_session_settle(). -ENOMEM. */
int tls_session_write(struct tls_session *session, const char *data,
		      size_t size);

const char *tls_session_failure(const struct tls_session *session);

/* After the handshake, from any thread. */

/* As OTP names it: tlsv1.2 or tlsv1.3. */
const char *tls_session_version(const struct tls_session *session);
const struct cert_names *tls_session_names(const struct tls_session *session);
/* When the first certificate of its chain ends, as time(2). */
int64_t tls_session_expires(const struct tls_session *session);
/* Whether the certificate is one of that host: its name or address. */
bool tls_session_is_of_host(const struct tls_session *session,
			    const char *host);
/*
 * Whether a list that is used now has one of its certificates; once for each
 * set of files, by one thread.
 */
bool tls_session_is_revoked(struct tls_session *session, const struct tls *tls);

/* At the end of a thread that has used sessions. */
void tls_end_thread(void);

#endif
