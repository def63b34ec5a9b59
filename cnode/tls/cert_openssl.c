/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says: its names, and when it ends. */
#include <arpa/inet.h>
#include <openssl/bn.h>
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

/* A dNSName that is spelt as the host is, or has a wildcard for its first part.
 */
static bool is_spelt(const GENERAL_NAME *name, const char *host)
{
	const char *text, *rest = strchr(host, '.');
	size_t size;

	if (name->type != GEN_DNS || strchr(host, '*'))
		return false;
	text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
	size = (size_t)ASN1_STRING_length(name->d.dNSName);
	if (size == strlen(host) && memcmp(text, host, size) == 0)
		return true;
	return rest && rest > host && size == strlen(rest) + 1 &&
	       text[0] == '*' && memcmp(text + 1, rest, size - 1) == 0 &&
	       !strpbrk(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/*
 * Case does not matter in names of hosts, and OpenSSL takes .prod for all below
 * prod; but rights are given, and names kept, by how a node spells its own.
 */
static bool has_spelling(X509 *cert, const char *host)
{
	GENERAL_NAMES *all =
		X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(all); i++)
		found = is_spelt(sk_GENERAL_NAME_value(all, i), host);
	GENERAL_NAMES_free(all);
	return found;
}

bool cert_names_host(X509 *cert, const char *host)
{
	return X509_check_host(cert, host, 0,
			       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
				       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
			       NULL) == 1 &&
	       has_spelling(cert, host);
}

/* Of the ways to write an address, the usual one. */
static bool is_address(const char *host)
{
	int family = strchr(host, ':') ? AF_INET6 : AF_INET;
	unsigned char address[16];
	char text[INET6_ADDRSTRLEN];

	return inet_pton(family, host, address) == 1 &&
	       inet_ntop(family, address, text, sizeof(text)) &&
	       strcmp(text, host) == 0;
}

bool cert_is_of_host(X509 *cert, const char *host)
{
	return cert_names_host(cert, host) ||
	       (is_address(host) && X509_check_ip_asc(cert, host, 0) == 1);
}

void cert_describe(X509 *cert, char *text, size_t size)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
	char *serial = number ? BN_bn2hex(number) : NULL;
	char all[256] = "";
	struct cert_names names;

	if (cert_read_names(cert, &names))
		cert_names_format(&names, all, sizeof(all));
	cert_names_free(&names);
	snprintf(text, size, "%s, serial %.64s", all, serial ? serial : "?");
	OPENSSL_free(serial);
	BN_free(number);
}

int64_t cert_ends(const X509 *cert)
{
	struct tm end;

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end))
		return 0;
	return timegm(&end);
}

const char *cert_verify_words(long error)
{
	switch (error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return "it is of no authority in ca.pem, or its file lacks the "
		       "certificates between";
	case X509_V_ERR_INVALID_PURPOSE:
		return "it is for other uses; nodes need the extendedKeyUsage "
		       "clientAuth and serverAuth, or none";
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		return "crl.pem has no list of one of its authorities";
	case X509_V_ERR_CRL_HAS_EXPIRED:
		return "the list of one of its authorities in crl.pem is "
		       "overdue";
	case X509_V_ERR_CERT_REVOKED:
		return "it, or an authority of it, has been revoked";
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "it, or an authority of it, has expired";
	default:
		return X509_verify_cert_error_string(error);
	}
}
