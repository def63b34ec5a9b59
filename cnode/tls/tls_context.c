/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, keys and crls, read from bytes into a context of OpenSSL. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/log.h"
#include "tls/tls_internal.h"

#define MAX_NAMES 60000 /* bytes, of all authorities */
#define MAX_CHAIN 32768 /* bytes, of what a peer sends */
#define MAX_DEPTH 10    /* certificates between a node's and the CA */

static bool wrong(char words[TLS_WORDS], enum tls_file file, const char *what)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(error);

	snprintf(words, TLS_WORDS, "%s: %s%s%s", tls_file_names[file], what,
		 reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	return false;
}

static BIO *open_file(const struct tls_set *set, enum tls_file file)
{
	ERR_clear_error();
	return BIO_new_mem_buf(set->bytes[file], (int)set->sizes[file]);
}

/* The reader of PEM ends so; whatever else it says is wrong. */
static bool at_end(void)
{
	bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

/* Nobody is there to be asked for it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

/* --- Our own certificate ------------------------------------------------- */

static bool read_chain(SSL_CTX *ssl, BIO *bio)
{
	X509 *cert;

	while ((cert = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (!SSL_CTX_add0_chain_cert(ssl, cert)) {
			X509_free(cert);
			return false;
		}
	}
	return at_end();
}

static bool use_certificate(SSL_CTX *ssl, const struct tls_set *set,
			    char words[TLS_WORDS])
{
	BIO *bio = open_file(set, TLS_CERT);
	X509 *cert =
		bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
	bool used = cert && SSL_CTX_use_certificate(ssl, cert) == 1;

	if (!used)
		wrong(words, TLS_CERT,
		      cert ? "the certificate cannot be used"
			   : "no certificate can be read");
	else if (!read_chain(ssl, bio))
		used = wrong(words, TLS_CERT,
			     "what is behind its certificate is none");
	X509_free(cert);
	BIO_free(bio);
	return used;
}

static bool use_key(SSL_CTX *ssl, const struct tls_set *set,
		    char words[TLS_WORDS])
{
	BIO *bio = open_file(set, TLS_KEY);
	EVP_PKEY *key =
		bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
		    : NULL;
	bool used = key && SSL_CTX_use_PrivateKey(ssl, key) == 1 &&
		    SSL_CTX_check_private_key(ssl) == 1;

	if (!used)
		wrong(words, TLS_KEY,
		      key ? "it is not the key of cert.pem"
			  : "no key can be read; one with a password is of "
			    "no use here");
	EVP_PKEY_free(key);
	BIO_free(bio);
	return used;
}

/* Peers would refuse it, each on its own, and say less. */
static bool check_own(SSL_CTX *ssl, const struct tls_options *options,
		      char words[TLS_WORDS])
{
	X509 *cert = SSL_CTX_get0_certificate(ssl);

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
		return wrong(words, TLS_CERT, "the certificate has expired");
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		return wrong(words, TLS_CERT,
			     "the certificate is not valid yet; or the clock "
			     "of this host is wrong");
	if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
		return wrong(words, TLS_CERT,
			     "the certificate is for other uses than that of "
			     "a server (extendedKeyUsage serverAuth)");
	if (!cert_names_host(cert, options->host))
		log_warning("--tls %s: cert.pem does not have DNS:%s among its "
			    "subjectAltNames: nodes with verify_peer will not "
			    "connect to this one",
			    options->folder, options->host);
	ERR_clear_error();
	return true;
}

/* --- Whose certificates are believed ------------------------------------- */

/* A handshake has all of their names, in 65,535 bytes. */
static bool are_too_many(SSL_CTX *ssl)
{
	const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(ssl);
	size_t size = 0;

	for (int i = 0; i < sk_X509_NAME_num(names); i++)
		size += 2 + (size_t)i2d_X509_NAME(sk_X509_NAME_value(names, i),
						  NULL);
	return size > MAX_NAMES;
}

/* Returns how many there are; -1: some could not be taken. */
static int read_authorities(SSL_CTX *ssl, BIO *bio)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	bool fits = true;
	X509 *cert;
	int count = 0;

	while (fits &&
	       (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		fits = X509_STORE_add_cert(store, cert) == 1 &&
		       SSL_CTX_add_client_CA(ssl, cert) == 1;
		X509_free(cert);
		count++;
	}
	return fits && at_end() ? count : -1;
}

static bool use_authorities(SSL_CTX *ssl, const struct tls_set *set,
			    char words[TLS_WORDS])
{
	BIO *bio = open_file(set, TLS_CA);
	int count = bio ? read_authorities(ssl, bio) : -1;

	BIO_free(bio);
	if (count > 0 && are_too_many(ssl))
		return wrong(words, TLS_CA,
			     "the names of its authorities take more than "
			     "60000 bytes, which no handshake can have");
	if (count > 0)
		return true;
	return wrong(words, TLS_CA,
		     count == 0 ? "there is no certificate in it"
				: "some certificate in it cannot be read");
}

static bool read_crls(struct tls_context *context, BIO *bio)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context->ssl);
	X509_CRL *crl;

	while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL))) {
		if (X509_STORE_add_crl(store, crl) != 1 ||
		    sk_X509_CRL_push(context->crls, crl) <= 0) {
			X509_CRL_free(crl);
			return false;
		}
	}
	return at_end() && sk_X509_CRL_num(context->crls) > 0;
}

static void warn_of_old(STACK_OF(X509_CRL) * crls, const char *folder)
{
	const ASN1_TIME *next;

	for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
		next = X509_CRL_get0_nextUpdate(sk_X509_CRL_value(crls, i));
		if (next && X509_cmp_current_time(next) < 0)
			log_warning("--tls %s: crl.pem has a list whose next "
				    "update is over: certificates of its "
				    "issuer are refused until there is one",
				    folder);
	}
}

/* As others have it: each CA of a chain has to have a list. */
static bool use_crls(struct tls_context *context, const struct tls_set *set,
		     const char *folder, char words[TLS_WORDS])
{
	BIO *bio;
	bool read;

	if (!set->bytes[TLS_CRL])
		return true;
	bio = open_file(set, TLS_CRL);
	read = bio && read_crls(context, bio);
	BIO_free(bio);
	if (!read)
		return wrong(words, TLS_CRL, "no list can be read");
	warn_of_old(context->crls, folder);
	X509_STORE_set_flags(SSL_CTX_get_cert_store(context->ssl),
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return true;
}

/* --- Ourselves, as others see us
 * ------------------------------------------------ */

static int verify(SSL_CTX *ssl, X509_STORE_CTX *check, STACK_OF(X509) * chain)
{
	if (!X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ssl),
				 SSL_CTX_get0_certificate(ssl), chain))
		return X509_V_ERR_OUT_OF_MEM;
	X509_STORE_CTX_set_purpose(check, X509_PURPOSE_SSL_SERVER);
	X509_verify_cert(check);
	return X509_STORE_CTX_get_error(check);
}

/* It is the other nodes' authorities that count, mostly the same as here. */
static void warn_of_chain(SSL_CTX *ssl, const char *folder)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	int error;

	SSL_CTX_get0_chain_certs(ssl, &chain);
	error = check ? verify(ssl, check, chain) : X509_V_ERR_OUT_OF_MEM;
	if (error != X509_V_OK)
		log_warning("--tls %s: nodes that believe ca.pem and crl.pem "
			    "as they are here will refuse cert.pem: %s",
			    folder, cert_verify_words(error));
	X509_STORE_CTX_free(check);
	ERR_clear_error();
}

/* --- The whole ----------------------------------------------------------- */

/* So that the log can say whose it is. */
static int note_refused(int good, X509_STORE_CTX *check)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		check, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (!good)
		tls_session_describe_refused(ssl,
					     X509_STORE_CTX_get0_cert(check));
	return good;
}

/*
 * No tickets: a node whose kernel does TLS cannot take records that are no
 * data. Renegotiation: Erlang nodes begin it in TLS 1.2, and end where it is
 * refused.
 */
static void settle(SSL_CTX *ssl, const struct tls_options *options)
{
	static const unsigned char id[] = "ebpf_cnode";

	SSL_CTX_set_min_proto_version(ssl, options->only_1_3 ? TLS1_3_VERSION
							     : TLS1_2_VERSION);
	SSL_CTX_set_options(
		ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
			     SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
			     SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ssl, id, sizeof(id) - 1);
	SSL_CTX_set_verify(ssl,
			   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   note_refused);
	SSL_CTX_set_max_cert_list(ssl, MAX_CHAIN);
	SSL_CTX_set_verify_depth(ssl, MAX_DEPTH);
}

bool tls_context_make(struct tls_context *context, const struct tls_set *set,
		      const struct tls_options *options, char words[TLS_WORDS])
{
	bool made;

	context->crls = sk_X509_CRL_new_null();
	context->ssl = SSL_CTX_new(TLS_server_method());
	if (!context->ssl || !context->crls) {
		snprintf(words, TLS_WORDS, "OpenSSL: %s",
			 ERR_reason_error_string(ERR_peek_last_error()));
		tls_context_free(context);
		return false;
	}
	settle(context->ssl, options);
	made = use_certificate(context->ssl, set, words) &&
	       use_key(context->ssl, set, words) &&
	       check_own(context->ssl, options, words) &&
	       use_authorities(context->ssl, set, words) &&
	       use_crls(context, set, options->folder, words);
	if (!made) {
		tls_context_free(context);
		return false;
	}
	context->ends = cert_ends(SSL_CTX_get0_certificate(context->ssl));
	warn_of_chain(context->ssl, options->folder);
	return true;
}

void tls_context_free(struct tls_context *context)
{
	SSL_CTX_free(context->ssl);
	sk_X509_CRL_pop_free(context->crls, X509_CRL_free);
	*context = (struct tls_context){ .ssl = NULL };
}
