/* SPDX-License-Identifier: Apache-2.0 */
/* What a build without OpenSSL has in place of the rest of this folder. */
#include <errno.h>

#include "base/log.h"
#include "tls/tls.h"
#include "tls/tls_session.h"

enum exit_status tls_open(struct tls **tls, const struct tls_options *options)
{
	(void)tls;
	log_error("--tls %s: this program was built without TLS: configure it "
		  "--with-openssl, which needs OpenSSL 3 (Debian: libssl-dev)",
		  options->folder);
	return STATUS_USAGE;
}

/* None of these is called, as there is neither a tls nor a session. */

void tls_close(struct tls *tls)
{
	(void)tls;
}

size_t tls_folders(const struct tls *tls, const char *paths[TLS_MAX_FOLDERS])
{
	(void)tls;
	(void)paths;
	return 0;
}

void tls_log(const struct tls *tls)
{
	(void)tls;
}

void tls_end_thread(void)
{
}

void tls_check_readable(struct tls *tls)
{
	(void)tls;
}

void tls_reload(struct tls *tls)
{
	(void)tls;
}

void tls_look(struct tls *tls)
{
	(void)tls;
}

int tls_look_wait(const struct tls *tls)
{
	(void)tls;
	return -1;
}

struct tls_session *tls_session_new(struct tls *tls)
{
	(void)tls;
	return NULL;
}

void tls_session_free(struct tls_session *session)
{
	(void)session;
}

char *tls_session_room(struct tls_session *session, size_t *size)
{
	(void)session;
	*size = 0;
	return NULL;
}

void tls_session_received(struct tls_session *session, size_t size)
{
	(void)session;
	(void)size;
}

size_t tls_session_owed(const struct tls_session *session, const char **bytes)
{
	(void)session;
	*bytes = NULL;
	return 0;
}

void tls_session_sent(struct tls_session *session, size_t size)
{
	(void)session;
	(void)size;
}

int tls_session_shake_hands(struct tls_session *session)
{
	(void)session;
	return -EPROTO;
}

ssize_t tls_session_read(struct tls_session *session, char *data, size_t size)
{
	(void)session;
	(void)data;
	(void)size;
	return -EPROTO;
}

int tls_session_settle(struct tls_session *session)
{
	(void)session;
	return -EPROTO;
}

int tls_session_write(struct tls_session *session, const char *data,
		      size_t size)
{
	(void)session;
	(void)data;
	(void)size;
	return -EPROTO;
}

const char *tls_session_failure(const struct tls_session *session)
{
	(void)session;
	return "there is no TLS";
}

const char *tls_session_version(const struct tls_session *session)
{
	(void)session;
	return "none";
}

const struct cert_names *tls_session_names(const struct tls_session *session)
{
	static const struct cert_names none;

	(void)session;
	return &none;
}

int64_t tls_session_expires(const struct tls_session *session)
{
	(void)session;
	return INT64_MAX;
}

bool tls_session_is_of_host(const struct tls_session *session, const char *host)
{
	(void)session;
	(void)host;
	return false;
}

bool tls_session_is_revoked(struct tls_session *session, const struct tls *tls)
{
	(void)session;
	(void)tls;
	return false;
}
