/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H

#include <limits.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#include "tls/cert_names.h"
#include "tls/tls.h"

/* --- tls_files.c: bytes of the folder ------------------------------------ */

enum tls_file {
	TLS_CERT,
	TLS_KEY,
	TLS_CA,
	TLS_CRL, /* may be missing */
	TLS_FILES
};

extern const char *const tls_file_names[TLS_FILES];

/* What changes when a file does. */
struct tls_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed; /* also its owner, or its mode */
};

struct tls_set {
	char *bytes[TLS_FILES]; /* NULL: there is no such file */
	size_t sizes[TLS_FILES];
	struct tls_stamp stamps[TLS_FILES];
};

#define TLS_WORDS 512

/* False: words say what is wrong, and with which file. */
bool tls_set_read(struct tls_set *set, const char *folder,
		  char words[TLS_WORDS]);
void tls_set_free(struct tls_set *set);

/* As the files are now; all zero if one is not there. */
void tls_stamp_all(const char *folder, struct tls_stamp stamps[TLS_FILES]);

/* --- cert_openssl.c: certificates ---------------------------------------- */

/* False: no memory, or it has more than CERT_NAMES_MAX. */
bool cert_read_names(X509 *cert, struct cert_names *names);
bool cert_is_of_host(X509 *cert, const char *host);
/* By a dNSName alone, as Erlang nodes ask for, also of an address. */
bool cert_names_host(X509 *cert, const char *host);
int64_t cert_ends(const X509 *cert); /* as time(2) */
/* In words: its names and its number. */
void cert_describe(X509 *cert, char *text, size_t size);
/* Why it is refused, and what to do, for an X509_V_ERR_. */
const char *cert_verify_words(long error);

/* --- tls_context.c: what OpenSSL makes of a set -------------------------- */

struct tls_context {
	SSL_CTX *ssl;
	STACK_OF(X509_CRL) * crls;
	int64_t ends; /* when our own certificate does, as time(2) */
};

/* False: words say what is wrong. Warnings are logged. */
bool tls_context_make(struct tls_context *context, const struct tls_set *set,
		      const struct tls_options *options, char words[TLS_WORDS]);
void tls_context_free(struct tls_context *context);

/* --- tls.c: the one that is used ----------------------------------------- */

struct tls {
	struct tls_options options;
	char *folders[TLS_MAX_FOLDERS]; /* NULL: no more */
	pthread_mutex_t lock;           /* of context */
	struct tls_context context;
	/* for the one thread that looks */
	struct tls_stamp taken[TLS_FILES]; /* of what is used, or was refused */
	struct tls_stamp seen[TLS_FILES];  /* at the last look */
	int64_t next_look;                 /* in clock_ms() */
	char refused[TLS_WORDS]; /* why the last set was; "": it was not */
	int64_t next_try;        /* of what was refused, in clock_ms() */
	int64_t next_warning;    /* of our own end, as time(2) */
	unsigned generation;     /* of the set that is used */
};

/* NULL: no memory. */
SSL *tls_new_ssl(struct tls *tls);

/* tls_session.c: of a certificate that is not verified. */
void tls_session_describe_refused(SSL *ssl, X509 *cert);
bool tls_revokes(const struct tls *tls, STACK_OF(X509) * chain);

#endif
