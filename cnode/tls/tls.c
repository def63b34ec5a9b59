/* SPDX-License-Identifier: Apache-2.0 */
/* Which set of files is used, and when another one takes its place. */
#include "tls/tls.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tls/tls_internal.h"
#include "tls/tls_session.h"

#define LOOK_MS 5000
#define TRY_MS 60000 /* before files that were refused are tried again */
#define DAY_S INT64_C(86400)
#define WARN_BEFORE_S (14 * DAY_S)
#define TIME_SIZE 32

/* --- The files ----------------------------------------------------------- */

static bool is_same(const struct tls_stamp a[TLS_FILES],
		    const struct tls_stamp b[TLS_FILES])
{
	for (enum tls_file file = 0; file < TLS_FILES; file++)
		if (a[file].device != b[file].device ||
		    a[file].inode != b[file].inode ||
		    a[file].size != b[file].size ||
		    a[file].changed.tv_sec != b[file].changed.tv_sec ||
		    a[file].changed.tv_nsec != b[file].changed.tv_nsec)
			return false;
	return true;
}

static bool load(const struct tls_options *options, struct tls_context *context,
		 struct tls_stamp stamps[TLS_FILES], char words[TLS_WORDS])
{
	struct tls_set set;
	bool made = tls_set_read(&set, options->folder, words) &&
		    tls_context_make(context, &set, options, words);

	memcpy(stamps, set.stamps, sizeof(set.stamps));
	tls_set_free(&set);
	return made;
}

/* Once each. */
static void add_folder(struct tls *tls, char *path)
{
	size_t i = 0;

	while (path && i < TLS_MAX_FOLDERS && tls->folders[i] &&
	       strcmp(tls->folders[i], path) != 0)
		i++;
	if (path && i < TLS_MAX_FOLDERS && !tls->folders[i])
		tls->folders[i] = path;
	else
		free(path);
}

static char *folder_of_file(const char *folder, enum tls_file file)
{
	char path[PATH_MAX], *real;

	snprintf(path, sizeof(path), "%s/%s", folder, tls_file_names[file]);
	real = realpath(path, NULL);
	return real ? dirname(real) : NULL; /* which shortens it in place */
}

static void find_folders(struct tls *tls)
{
	add_folder(tls, realpath(tls->options.folder, NULL));
	for (enum tls_file file = 0; file < TLS_FILES; file++)
		add_folder(tls, folder_of_file(tls->options.folder, file));
}

size_t tls_folders(const struct tls *tls, const char *paths[TLS_MAX_FOLDERS])
{
	size_t count = 0;

	while (count < TLS_MAX_FOLDERS && tls->folders[count]) {
		paths[count] = tls->folders[count];
		count++;
	}
	return count;
}

void tls_check_readable(struct tls *tls)
{
	char words[TLS_WORDS];
	struct tls_set set;

	if (!tls_set_read(&set, tls->options.folder, words)) {
		log_warning("--tls: %s: from now on this process can read "
			    "it no more, and a new one will not be taken "
			    "before the next start",
			    words);
		/* as they look from here they have not changed */
		tls_stamp_all(tls->options.folder, tls->taken);
		memcpy(tls->seen, tls->taken, sizeof(tls->seen));
	}
	tls_set_free(&set);
}

/* --- The start ----------------------------------------------------------- */

static enum exit_status refuse(const char *folder, const char *words)
{
	log_error("--tls %s: %s", folder, words);
	return STATUS_TLS;
}

enum exit_status tls_open(struct tls **result,
			  const struct tls_options *options)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	char words[TLS_WORDS];

	/* threads may still use it when the process ends */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	if (!tls)
		return refuse(options->folder, strerror(ENOMEM));
	if (!load(options, &tls->context, tls->taken, words)) {
		free(tls);
		return refuse(options->folder, words);
	}
	tls->options = *options;
	tls->generation = 1;
	pthread_mutex_init(&tls->lock, NULL);
	memcpy(tls->seen, tls->taken, sizeof(tls->seen));
	tls->next_look = clock_ms() + LOOK_MS;
	find_folders(tls);
	*result = tls;
	return STATUS_OK;
}

void tls_close(struct tls *tls)
{
	if (!tls)
		return;
	tls_context_free(&tls->context);
	for (size_t i = 0; i < TLS_MAX_FOLDERS; i++)
		free(tls->folders[i]);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

/* --- What is used -------------------------------------------------------- */

static void format_time(int64_t when, char text[TIME_SIZE])
{
	time_t time = when;
	struct tm tm;

	gmtime_r(&time, &tm);
	strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void tls_log(const struct tls *tls)
{
	char text[512], end[TIME_SIZE];

	cert_describe(SSL_CTX_get0_certificate(tls->context.ssl), text,
		      sizeof(text));
	format_time(tls->context.ends, end);
	log_notice("nodes connect by TLS; --tls %s: cert.pem is of %s, and "
		   "ends at %s%s",
		   tls->options.folder, text, end,
		   sk_X509_CRL_num(tls->context.crls) > 0 ? "; crl.pem is used"
							  : "");
}

/* Once a day, and when it has ended. */
static void warn_of_end(struct tls *tls)
{
	int64_t now = time(NULL), left = tls->context.ends - now;
	char end[TIME_SIZE];

	if (left > WARN_BEFORE_S || now < tls->next_warning)
		return;
	format_time(tls->context.ends, end);
	if (left > 0)
		log_warning("--tls %s: cert.pem ends at %s; from then on no "
			    "node can connect",
			    tls->options.folder, end);
	else
		log_error("--tls %s: cert.pem has ended at %s: no node can "
			  "connect until there is a new one",
			  tls->options.folder, end);
	tls->next_warning =
		left > 0 && left < DAY_S ? tls->context.ends : now + DAY_S;
}

/* --- New files ----------------------------------------------------------- */

static void log_taken(const struct tls *tls)
{
	struct log_fields fields;

	log_fields_start(&fields, "certificates_taken", NULL);
	log_event_with(&fields, LOG_NOTICE,
		       "--tls %s: new files are used for new connections",
		       tls->options.folder);
	tls_log(tls);
}

static void log_refused(const struct tls *tls, const char *words)
{
	struct log_fields fields;

	log_fields_start(&fields, "certificates_refused", words);
	log_event_with(&fields, LOG_WARNING,
		       "--tls %s: new files are refused, those of before go "
		       "on: %s",
		       tls->options.folder, words);
}

/* A list that was lost would let in who was revoked. */
static bool load_anew(struct tls *tls, struct tls_context *context,
		      char words[TLS_WORDS])
{
	size_t used;

	if (!load(&tls->options, context, tls->taken, words)) {
		used = strlen(words);
		if (strstr(words, strerror(EACCES)))
			snprintf(words + used, TLS_WORDS - used,
				 "; from its sandbox it reads only where the "
				 "files were at the start: put new ones there, "
				 "or start it anew");
		return false;
	}
	if (sk_X509_CRL_num(context->crls) > 0 ||
	    sk_X509_CRL_num(tls->context.crls) == 0)
		return true;
	snprintf(words, TLS_WORDS,
		 "crl.pem is gone, and without it nobody is revoked; start "
		 "the node anew to do without");
	tls_context_free(context);
	return false;
}

/* What is wrong may pass without a change of a file: rights, or the time. */
static void refuse_anew(struct tls *tls, const char *words)
{
	memcpy(tls->taken, tls->seen, sizeof(tls->taken));
	tls->next_try = clock_ms() + TRY_MS;
	if (strcmp(tls->refused, words) == 0)
		return;
	snprintf(tls->refused, sizeof(tls->refused), "%s", words);
	log_refused(tls, words);
}

void tls_reload(struct tls *tls)
{
	struct tls_context context, old;
	char words[TLS_WORDS];

	tls_stamp_all(tls->options.folder, tls->seen);
	if (!load_anew(tls, &context, words)) {
		refuse_anew(tls, words);
		return;
	}
	pthread_mutex_lock(&tls->lock);
	old = tls->context;
	tls->context = context;
	pthread_mutex_unlock(&tls->lock);
	tls_context_free(&old); /* sessions have their own reference */
	tls->generation++;
	tls->refused[0] = '\0';
	tls->next_warning = 0;
	log_taken(tls);
}

/* Files are often replaced one by one: they are taken once they stay. */
void tls_look(struct tls *tls)
{
	struct tls_stamp now[TLS_FILES];
	bool stays, again;

	if (clock_ms() < tls->next_look)
		return;
	tls->next_look = clock_ms() + LOOK_MS;
	warn_of_end(tls);
	tls_stamp_all(tls->options.folder, now);
	stays = is_same(now, tls->seen);
	memcpy(tls->seen, now, sizeof(now));
	again = tls->refused[0] && clock_ms() >= tls->next_try;
	if (again || (stays && !is_same(now, tls->taken)))
		tls_reload(tls);
}

int tls_look_wait(const struct tls *tls)
{
	int64_t left = tls->next_look - clock_ms();

	return left > 0 ? (int)left : 0;
}

/* --- For sessions -------------------------------------------------------- */

SSL *tls_new_ssl(struct tls *tls)
{
	SSL *ssl;

	pthread_mutex_lock(&tls->lock);
	ssl = SSL_new(tls->context.ssl);
	pthread_mutex_unlock(&tls->lock);
	return ssl;
}

void tls_end_thread(void)
{
	OPENSSL_thread_stop();
}

static bool is_in(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *entry;

	return X509_NAME_cmp(X509_CRL_get_issuer(crl),
			     X509_get_issuer_name(cert)) == 0 &&
	       X509_CRL_get0_by_cert(crl, &entry, cert) == 1;
}

/* The lists change only in the thread that asks. */
bool tls_revokes(const struct tls *tls, STACK_OF(X509) * chain)
{
	STACK_OF(X509_CRL) *crls = tls->context.crls;

	for (int i = 0; i < sk_X509_CRL_num(crls); i++)
		for (int j = 0; j < sk_X509_num(chain); j++)
			if (is_in(sk_X509_CRL_value(crls, i),
				  sk_X509_value(chain, j)))
				return true;
	return false;
}
