/* SPDX-License-Identifier: Apache-2.0 */
/* Which set of files is used, and when another one takes its place. */
#include "tls/tls.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tls/tls_internal.h"

#define LOOK_MS 5000

/* --- The files --------------------------------------------------------------
 */

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

/* --- The start --------------------------------------------------------------
 */

static enum exit_status refuse(const char *folder, const char *words)
{
	log_error("--tls %s: %s", folder, words);
	return STATUS_USAGE;
}

enum exit_status tls_open(struct tls **result,
			  const struct tls_options *options)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	char words[TLS_WORDS];

	if (!tls)
		return refuse(options->folder, strerror(ENOMEM));
	if (!load(options, &tls->context, tls->taken, words)) {
		free(tls);
		return refuse(options->folder, words);
	}
	tls->options = *options;
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

/* --- New files --------------------------------------------------------------
 */

static void log_taken(const struct tls *tls)
{
	struct log_fields fields;

	log_fields_start(&fields, "certificates_taken", NULL);
	log_event_with(&fields, LOG_NOTICE,
		       "--tls %s: new files are used for new connections",
		       tls->options.folder);
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

bool tls_reload(struct tls *tls)
{
	struct tls_context context, old;
	char words[TLS_WORDS];

	tls_stamp_all(tls->options.folder, tls->seen);
	if (!load(&tls->options, &context, tls->taken, words)) {
		memcpy(tls->taken, tls->seen, sizeof(tls->taken));
		log_refused(tls, words);
		return false;
	}
	pthread_mutex_lock(&tls->lock);
	old = tls->context;
	tls->context = context;
	pthread_mutex_unlock(&tls->lock);
	tls_context_free(&old); /* sessions have their own reference */
	log_taken(tls);
	return true;
}

/* Files are often replaced one by one: they are taken once they stay. */
bool tls_look(struct tls *tls)
{
	struct tls_stamp now[TLS_FILES];
	bool stays;

	if (clock_ms() < tls->next_look)
		return false;
	tls->next_look = clock_ms() + LOOK_MS;
	tls_stamp_all(tls->options.folder, now);
	stays = is_same(now, tls->seen);
	memcpy(tls->seen, now, sizeof(now));
	return stays && !is_same(now, tls->taken) && tls_reload(tls);
}

int tls_look_wait(const struct tls *tls)
{
	int64_t left = tls->next_look - clock_ms();

	return left > 0 ? (int)left : 0;
}

/* --- For sessions -----------------------------------------------------------
 */

SSL *tls_new_ssl(struct tls *tls)
{
	SSL *ssl;

	pthread_mutex_lock(&tls->lock);
	ssl = SSL_new(tls->context.ssl);
	pthread_mutex_unlock(&tls->lock);
	return ssl;
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
