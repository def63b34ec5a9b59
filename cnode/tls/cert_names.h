/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CERT_NAMES_H
#define CERT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define CERT_NAMES_MAX 8192 /* bytes of all together */

/*
 * What a verified certificate says of who has it: its subjectAltNames, each as
 * KIND:TEXT with a NUL behind it, KIND being DNS, IP, URI or email. Those of
 * DNS are in lower case. A certificate without any has one of another kind,
 * SHA256:, by which it is known again.
 */
struct cert_names {
	char *bytes; /* from malloc(3); NULL: there is no certificate */
	size_t size;
};

/*
 * Appends one. A text with a NUL or another control character is left out, as
 * it could be taken for another name. False: no memory, or that is too much.
 */
bool cert_names_add(struct cert_names *names, const char *kind,
		    const void *text, size_t size);
bool cert_names_copy(struct cert_names *to, const void *bytes, size_t size);
void cert_names_free(struct cert_names *names);

/* The one behind name, the first one for NULL; NULL: there is none left. */
const char *cert_names_next(const struct cert_names *names, const char *name);

/* Whether both have one that is the same. */
bool cert_names_share(const struct cert_names *a, const struct cert_names *b);

/*
 * Whether one of them is of that kind, and matches a pattern of fnmatch(3). In
 * a pattern for DNS, * and ? stand for no dot.
 */
bool cert_names_match(const struct cert_names *names, const char *kind,
		      const char *pattern);

/* False: no name can match such a pattern, or it means something else. */
bool cert_names_is_pattern(const char *kind, const char *pattern);

/*
 * All of them with a comma between, as many as fit; ends with ... if not all
 * do. A comma, blank or % in a name is as in a URI.
 */
void cert_names_format(const struct cert_names *names, char *text, size_t size);

#endif
