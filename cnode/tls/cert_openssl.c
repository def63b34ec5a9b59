/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says: its names, and when it ends. */
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls/tls_internal.h"

static bool add_address(struct cert_names *names,
			const ASN1_OCTET_STRING *address)
{
	int size = ASN1_STRING_length(address);
	char text[INET6_ADDRSTRLEN];

	if ((size != 4 && size != 16) ||
	    !inet_ntop(size == 4 ? AF_INET : AF_INET6,
		       ASN1_STRING_get0_data(address), text, sizeof(text)))
		return true;
	return cert_names_add(names, "IP", text, strlen(text));
}

static bool add_text(struct cert_names *names, const char *kind,
		     const ASN1_IA5STRING *text)
{
	return cert_names_add(names, kind, ASN1_STRING_get0_data(text),
			      (size_t)ASN1_STRING_length(text));
}

static bool add_name(struct cert_names *names, const GENERAL_NAME *name)
{
	switch (name->type) {
	case GEN_DNS:
		return add_text(names, "DNS", name->d.dNSName);
	case GEN_URI:
		return add_text(names, "URI",
				name->d.uniformResourceIdentifier);
	case GEN_EMAIL:
		return add_text(names, "email", name->d.rfc822Name);
	case GEN_IPADD:
		return add_address(names, name->d.iPAddress);
	default:
		return true;
	}
}

/* So that it is known again. */
static bool add_digest(struct cert_names *names, const X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned size = 0;

	if (!X509_digest(cert, EVP_sha256(), digest, &size))
		return false;
	for (unsigned i = 0; i < size; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", digest[i]);
	return cert_names_add(names, "SHA256", text, (size_t)2 * size);
}

bool cert_read_names(X509 *cert, struct cert_names *names)
{
	GENERAL_NAMES *all =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool fits = true;

	*names = (struct cert_names){ .bytes = NULL };
	for (int i = 0; fits && i < sk_GENERAL_NAME_num(all); i++)
		fits = add_name(names, sk_GENERAL_NAME_value(all, i));
	GENERAL_NAMES_free(all);
	if (fits && names->size == 0)
		fits = add_digest(names, cert);
	if (!fits)
		cert_names_free(names);
	return fits;
}

bool cert_is_of_host(X509 *cert, const char *host)
{
	unsigned char address[16];

	if (inet_pton(AF_INET, host, address) == 1 ||
	    inet_pton(AF_INET6, host, address) == 1)
		return X509_check_ip_asc(cert, host, 0) == 1;
	return X509_check_host(cert, host, 0,
			       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
				       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
			       NULL) == 1;
}

int64_t cert_ends(const X509 *cert)
{
	struct tm end;

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end))
		return 0;
	return timegm(&end);
}
