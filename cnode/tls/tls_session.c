/* SPDX-License-Identifier: Apache-2.0 */
/* One session, as OpenSSL has it, between two buffers. */
#include "tls/tls_session.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tls/tls_internal.h"

#define IN_SIZE 65536
#define KEPT_OUT_SIZE 65536 /* a larger buffer is freed once it is sent */
#define RECORD_SIZE 16384
#define RECORD_MORE 256 /* bytes that a record adds, at most */

/*
 * What a peer may make us do beside its data: handshakes, new keys, alerts. A
 * handshake takes some ms of a processor.
 */
#define MAX_CONTROLS 600 /* in a minute */
#define MINUTE_MS 60000

struct tls_session {
	SSL *ssl;
	X509 *cert; /* of the peer, once verified */
	STACK_OF(X509) * chain;
	struct cert_names names;
	int64_t expires;
	/* what has come: bytes [in_pos, in_end) of in */
	char *in;
	size_t in_pos;
	size_t in_end;
	/* what is owed */
	char *out;
	size_t out_pos;
	size_t out_end;
	size_t out_capacity;
	bool failed;
	char words[640];
	char refused[384]; /* a certificate that was not verified, in words */
	unsigned checked;  /* against the lists of that generation */
	unsigned controls; /* in the minute that began then, */
	int64_t minute;    /* in clock_ms() */
};

/* --- The two buffers, for OpenSSL ---------------------------------------- */

static int bio_read(BIO *bio, char *data, int size)
{
	struct tls_session *s = BIO_get_data(bio);
	size_t n = s->in_end - s->in_pos;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (n > (size_t)size)
		n = (size_t)size;
	memcpy(data, s->in + s->in_pos, n);
	s->in_pos += n;
	return (int)n;
}

static bool reserve(struct tls_session *s, size_t size)
{
	size_t capacity = s->out_end + size;
	char *out;

	if (capacity <= s->out_capacity)
		return true;
	if (capacity < 2 * s->out_capacity)
		capacity = 2 * s->out_capacity;
	out = realloc(s->out, capacity);
	if (!out)
		return false;
	s->out = out;
	s->out_capacity = capacity;
	return true;
}

static int bio_write(BIO *bio, const char *data, int size)
{
	struct tls_session *s = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (size <= 0 || !reserve(s, (size_t)size))
		return -1;
	memcpy(s->out + s->out_end, data, (size_t)size);
	s->out_end += (size_t)size;
	return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
			      "buffers");
	if (!method)
		return;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
}

static BIO *make_bio(struct tls_session *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return NULL;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- What is no data ----------------------------------------------------- */

static bool is_control(int type, const unsigned char *bytes, size_t size)
{
	if (type == SSL3_RT_ALERT)
		return true;
	return type == SSL3_RT_HANDSHAKE && size > 0 &&
	       (bytes[0] == SSL3_MT_CLIENT_HELLO ||
		bytes[0] == SSL3_MT_KEY_UPDATE);
}

/* OpenSSL calls it for each message of its own, either way. */
/* NOLINTNEXTLINE(readability-function-size): the type is OpenSSL's */
static void count_controls(int written, int version, int type,
			   const void *bytes, size_t size, SSL *ssl,
			   void *session)
{
	struct tls_session *s = session;

	(void)version;
	(void)ssl;
	if (!written && is_control(type, bytes, size))
		s->controls++;
}

static bool is_too_much(struct tls_session *s)
{
	int64_t now;

	if (s->controls == 0)
		return false;
	now = clock_ms();
	if (now - s->minute > MINUTE_MS) {
		s->minute = now;
		s->controls = 1;
	}
	return s->controls > MAX_CONTROLS;
}

/* Clearing a queue that is empty takes OpenSSL long. */
static void forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* --- Failures ------------------------------------------------------------ */

static int fail(struct tls_session *s, const char *words)
{
	if (!s->failed)
		snprintf(s->words, sizeof(s->words), "%s", words);
	s->failed = true;
	forget_errors();
	return -EPROTO;
}

static int fail_by_certificate(struct tls_session *s)
{
	long result = SSL_get_verify_result(s->ssl);
	char words[sizeof(s->words)];

	snprintf(words, sizeof(words), "its certificate is refused: %s (%s)",
		 result == X509_V_OK ? "unknown error"
				     : cert_verify_words(result),
		 s->refused);
	return fail(s, words);
}

/* Alerts that the peer has sent have such numbers. */
static bool is_alert(int reason)
{
	return reason > SSL_AD_REASON_OFFSET &&
	       reason < SSL_AD_REASON_OFFSET + 256;
}

static const char *hint_for(int alert)
{
	switch (alert) {
	case SSL_AD_HANDSHAKE_FAILURE:
		return "; nodes with verify_peer want DNS:HOST in cert.pem";
	case SSL_AD_UNKNOWN_CA:
		return "; its cacertfile needs the authority of cert.pem, and "
		       "cert.pem the certificates between";
	case SSL_AD_CERTIFICATE_EXPIRED:
		return "; cert.pem, an authority of it or a list of what is "
		       "revoked is out of date";
	default:
		return "";
	}
}

static int fail_by_alert(struct tls_session *s, int alert)
{
	char words[sizeof(s->words)];

	snprintf(words, sizeof(words), "it refuses this node by the alert %s%s",
		 SSL_alert_desc_string_long(alert),
		 SSL_is_init_finished(s->ssl) ? "" : hint_for(alert));
	return fail(s, words);
}

static int fail_by_openssl(struct tls_session *s)
{
	unsigned long error = ERR_peek_error();
	int reason = ERR_GET_REASON(error);
	const char *text = ERR_reason_error_string(error);
	char words[sizeof(s->words)];

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return fail_by_certificate(s);
	if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return fail(s, "it shows no certificate; the client section "
			       "of its -ssl_dist_optfile has to name one");
	if (reason == SSL_R_UNSUPPORTED_PROTOCOL)
		return fail(s, "it offers no version of TLS from --tls-min on");
	if (reason == ERR_R_INTERNAL_ERROR)
		return fail(s, "this node fails in TLS: internal error");
	if (is_alert(reason))
		return fail_by_alert(s, reason - SSL_AD_REASON_OFFSET);
	snprintf(words, sizeof(words), "it breaks the rules of TLS: %s",
		 text ? text : "unknown error");
	return fail(s, words);
}

static int fail_by(struct tls_session *s, int result)
{
	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return fail(s, "it has ended the session");
	case SSL_ERROR_SYSCALL: /* the buffer could not grow */
		return fail(s, "out of memory");
	default:
		return fail_by_openssl(s);
	}
}

const char *tls_session_failure(const struct tls_session *s)
{
	return s->words;
}

void tls_session_describe_refused(SSL *ssl, X509 *cert)
{
	struct tls_session *s = SSL_get_app_data(ssl);

	cert_describe(cert, s->refused, sizeof(s->refused));
}

/* --- Its life ------------------------------------------------------------ */

struct tls_session *tls_session_new(struct tls *tls)
{
	struct tls_session *s = calloc(1, sizeof(*s));
	BIO *bio;

	if (!s)
		return NULL;
	s->in = malloc(IN_SIZE);
	s->ssl = tls_new_ssl(tls);
	bio = make_bio(s);
	if (!s->in || !s->ssl || !bio) {
		BIO_free(bio);
		tls_session_free(s);
		return NULL;
	}
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_accept_state(s->ssl);
	SSL_set_msg_callback(s->ssl, count_controls);
	SSL_set_msg_callback_arg(s->ssl, s);
	SSL_set_app_data(s->ssl, s);
	s->minute = clock_ms();
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	X509_free(s->cert);
	sk_X509_pop_free(s->chain, X509_free);
	cert_names_free(&s->names);
	free(s->in);
	free(s->out);
	free(s);
}

/* --- Bytes of the socket ------------------------------------------------- */

char *tls_session_room(struct tls_session *s, size_t *size)
{
	if (s->in_pos == s->in_end)
		s->in_pos = s->in_end = 0;
	*size = IN_SIZE - s->in_end;
	return s->in + s->in_end;
}

void tls_session_received(struct tls_session *s, size_t size)
{
	s->in_end += size;
}

size_t tls_session_owed(const struct tls_session *s, const char **bytes)
{
	*bytes = s->out ? s->out + s->out_pos : NULL;
	return s->out_end - s->out_pos;
}

void tls_session_sent(struct tls_session *s, size_t size)
{
	s->out_pos += size;
	if (s->out_pos < s->out_end)
		return;
	s->out_pos = s->out_end = 0;
	if (s->out_capacity <= KEPT_OUT_SIZE)
		return;
	free(s->out);
	s->out = NULL;
	s->out_capacity = 0;
}

/* --- The handshake ------------------------------------------------------- */

static int64_t first_end(STACK_OF(X509) * chain)
{
	int64_t end, first = INT64_MAX;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		end = cert_ends(sk_X509_value(chain, i));
		if (end < first)
			first = end;
	}
	return first;
}

static int take_certificate(struct tls_session *s)
{
	s->cert = SSL_get1_peer_certificate(s->ssl);
	s->chain = X509_chain_up_ref(SSL_get0_verified_chain(s->ssl));
	if (!s->cert || !s->chain)
		return fail(s, "its certificate cannot be kept");
	if (!cert_read_names(s->cert, &s->names))
		return fail(s, "the names of its certificate take more than "
			       "8192 bytes");
	s->expires = first_end(s->chain);
	return 0;
}

int tls_session_shake_hands(struct tls_session *s)
{
	int result;

	if (s->failed)
		return -EPROTO;
	forget_errors();
	result = SSL_do_handshake(s->ssl);
	if (result != 1)
		return fail_by(s, result);
	return take_certificate(s);
}

/* It has proved once who it is: it may not become another. */
static int check(struct tls_session *s)
{
	if (is_too_much(s))
		return fail(s, "it sends more than 600 handshakes, key updates "
			       "and alerts in a minute");
	if (SSL_in_init(s->ssl) ||
	    SSL_get0_peer_certificate(s->ssl) == s->cert ||
	    X509_cmp(SSL_get0_peer_certificate(s->ssl), s->cert) == 0)
		return 0;
	return fail(s, "it shows another certificate than before");
}

/* It is cheaper to know that than to be told so. */
static bool is_dry(const struct tls_session *s)
{
	return s->in_pos == s->in_end && !SSL_has_pending(s->ssl) &&
	       !(SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN);
}

ssize_t tls_session_read(struct tls_session *s, char *data, size_t size)
{
	int n, error;

	if (s->failed)
		return -EPROTO;
	if (is_dry(s))
		return -EAGAIN;
	forget_errors();
	n = SSL_read(s->ssl, data, size < INT32_MAX ? (int)size : INT32_MAX);
	if (n <= 0 && SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN)
		return 0;
	error = n > 0 ? 0 : fail_by(s, n);
	if (error == 0 || error == -EAGAIN)
		if (check(s) < 0)
			return -EPROTO;
	return n > 0 ? n : error;
}

int tls_session_settle(struct tls_session *s)
{
	char byte;
	int n, error;

	if (s->failed)
		return -EPROTO;
	if (!SSL_in_init(s->ssl))
		return 0;
	forget_errors();
	n = SSL_peek(s->ssl, &byte, 1);
	error = n > 0 ? 0 : fail_by(s, n);
	if (error < 0 && error != -EAGAIN)
		return error;
	if (check(s) < 0)
		return -EPROTO;
	if (!SSL_in_init(s->ssl))
		return 0;
	return n > 0 ? fail(s, "it sends data in the middle of a handshake")
		     : -EAGAIN;
}

int tls_session_write(struct tls_session *s, const char *data, size_t size)
{
	size_t records = size / RECORD_SIZE + 1;
	int n;

	if (s->failed)
		return -EPROTO;
	if (SSL_in_init(s->ssl))
		return -EAGAIN;
	if (!reserve(s, size + records * RECORD_MORE))
		return -ENOMEM;
	forget_errors();
	for (; size > 0; size -= (size_t)n, data += n) {
		n = SSL_write(s->ssl, data,
			      size < INT32_MAX ? (int)size : INT32_MAX);
		if (n <= 0)
			return fail_by(s, n) == -EAGAIN
				       ? fail(s, "it sends a handshake while "
						 "it is sent data")
				       : -EPROTO;
	}
	return 0;
}

/* --- Of the peer --------------------------------------------------------- */

const char *tls_session_version(const struct tls_session *s)
{
	return SSL_version(s->ssl) == TLS1_3_VERSION ? "tlsv1.3" : "tlsv1.2";
}

const struct cert_names *tls_session_names(const struct tls_session *s)
{
	return &s->names;
}

int64_t tls_session_expires(const struct tls_session *s)
{
	return s->expires;
}

bool tls_session_is_of_host(const struct tls_session *s, const char *host)
{
	return cert_is_of_host(s->cert, host);
}

bool tls_session_is_revoked(struct tls_session *s, const struct tls *tls)
{
	if (s->checked == tls->generation)
		return false;
	s->checked = tls->generation;
	return tls_revokes(tls, s->chain);
}
