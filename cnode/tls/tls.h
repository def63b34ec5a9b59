/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/exit_status.h"

/*
 * The certificate of this node, its key, and whose certificates it believes;
 * from the files cert.pem, key.pem, ca.pem and perhaps crl.pem of a folder.
 * tls_look() and tls_reload() are for one thread; sessions may be made in any.
 */
struct tls;

struct tls_options {
	const char *folder;
	const char *host; /* of this node, which its certificate should name */
	bool only_1_3;
};

/* Errors have been logged. The options' texts are kept. */
enum exit_status tls_open(struct tls **tls, const struct tls_options *options);
void tls_close(struct tls *tls); /* takes NULL */

#define TLS_MAX_FOLDERS 5

/*
 * The folders that its files are in, with those that links lead to: paths that
 * are valid as long as tls. Returns how many.
 */
size_t tls_folders(const struct tls *tls, const char *paths[TLS_MAX_FOLDERS]);

/* Logs what is used, and until when. */
void tls_log(const struct tls *tls);

/* Warns if this process, as it is now, can read the files no more. */
void tls_check_readable(struct tls *tls);

/*
 * Takes new files, for sessions that are made from now on. If something is
 * wrong with them that is logged, and all stays as it was.
 */
void tls_reload(struct tls *tls);

/*
 * The same, if they have changed, which it looks at every few seconds; and
 * warns before the certificate ends.
 */
void tls_look(struct tls *tls);
int tls_look_wait(const struct tls *tls); /* ms until the next look */

#endif
