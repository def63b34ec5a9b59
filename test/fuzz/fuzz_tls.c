/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the seam of the record layer: a session between two buffers, and an
 * OpenSSL client that is honest as long as nobody changes its bytes. The input
 * says what happens, in which order and in which pieces. What either side
 * writes comes to the other in order; after bytes that are no TLS the session
 * fails, in words, and for good.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "tls/tls.h"
#include "tls/tls_session.h"

static struct tls *server;
static SSL_CTX *clients;

/* --- The certificate of both --------------------------------------------- */

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509_EXTENSION *san = X509V3_EXT_conf_nid(
		NULL, NULL, NID_subject_alt_name, "DNS:localhost,email:a@b");

	REQUIRE(cert && san);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 864000);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"fuzz", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_add_ext(cert, san, -1);
	X509_EXTENSION_free(san);
	REQUIRE(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static FILE *create(const char *folder, const char *name, char path[64])
{
	FILE *file;

	snprintf(path, 64, "%s/%s", folder, name);
	umask(077);
	file = fopen(path, "w");
	REQUIRE(file);
	return file;
}

static void open_server(EVP_PKEY *key, X509 *cert)
{
	char folder[] = "/tmp/fuzz_tls.XXXXXX", paths[3][64];
	const struct tls_options options = { .folder = folder,
					     .host = "localhost" };
	FILE *file;

	REQUIRE(mkdtemp(folder));
	file = create(folder, "key.pem", paths[0]);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	file = create(folder, "cert.pem", paths[1]);
	PEM_write_X509(file, cert);
	fclose(file);
	file = create(folder, "ca.pem", paths[2]);
	PEM_write_X509(file, cert);
	fclose(file);
	REQUIRE(tls_open(&server, &options) == STATUS_OK);
	for (size_t i = 0; i < 3; i++)
		unlink(paths[i]);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);

	(void)argc;
	(void)argv;
	open_server(key, cert);
	clients = SSL_CTX_new(TLS_client_method());
	REQUIRE(clients);
	SSL_CTX_use_certificate(clients, cert);
	SSL_CTX_use_PrivateKey(clients, key);
	return 0;
}

/* --- Both ends ----------------------------------------------------------- */

struct world {
	struct tls_session *s;
	SSL *client;
	BIO *to_client, *from_client;
	bool honest; /* no byte has been changed */
	bool failed;
	bool ended;                   /* by the client, which may say no more */
	uint64_t written[2], read[2]; /* by the client, by the session */
};

static char pattern(uint64_t at)
{
	return (char)(at * 31 + (at >> 8));
}

static void fill(char *data, size_t size, uint64_t at)
{
	for (size_t i = 0; i < size; i++)
		data[i] = pattern(at + i);
}

static void check_read(const char *data, size_t size, uint64_t at)
{
	for (size_t i = 0; i < size; i++)
		REQUIRE(data[i] == pattern(at + i));
}

static void note(struct world *w, int result)
{
	if (result != -EPROTO)
		return;
	w->failed = true;
	REQUIRE(tls_session_failure(w->s)[0] != '\0');
}

static void inject(struct world *w, const void *bytes, size_t size)
{
	size_t room;
	char *to = tls_session_room(w->s, &room);

	if (size > room)
		size = room;
	memcpy(to, bytes, size);
	tls_session_received(w->s, size);
}

/* Up to size bytes, the one at change made another. */
static void deliver_to_session(struct world *w, size_t size, size_t change)
{
	static char bytes[65536];
	size_t room;
	int n;

	tls_session_room(w->s, &room);
	if (size > room)
		size = room;
	if (size > sizeof(bytes))
		size = sizeof(bytes);
	n = size > 0 ? BIO_read(w->from_client, bytes, (int)size) : 0;
	if (n <= 0)
		return;
	if (change < (size_t)n) {
		bytes[change] ^= 0x40;
		w->honest = false;
	}
	inject(w, bytes, (size_t)n);
}

static void deliver_to_client(struct world *w, size_t size)
{
	const char *bytes;
	size_t owed = tls_session_owed(w->s, &bytes);

	if (size > owed)
		size = owed;
	if (size == 0)
		return;
	REQUIRE(BIO_write(w->to_client, bytes, (int)size) == (int)size);
	tls_session_sent(w->s, size);
	REQUIRE(tls_session_owed(w->s, &bytes) == owed - size);
}

static void session_reads(struct world *w, size_t size)
{
	static char data[65536];
	ssize_t n;

	if (size == 0 || size > sizeof(data))
		size = sizeof(data);
	n = tls_session_read(w->s, data, size);
	REQUIRE(n <= (ssize_t)size);
	REQUIRE(!w->failed || n == -EPROTO);
	note(w, n < 0 ? (int)n : 0);
	if (n <= 0)
		return;
	check_read(data, (size_t)n, w->read[1]);
	w->read[1] += (uint64_t)n;
	REQUIRE(w->read[1] <= w->written[0]);
}

static void session_writes(struct world *w, size_t size)
{
	static char data[65536];
	int error;

	if (size > sizeof(data))
		size = sizeof(data);
	fill(data, size, w->written[1]);
	error = tls_session_write(w->s, data, size);
	REQUIRE(!w->failed || error == -EPROTO);
	note(w, error);
	if (error == 0)
		w->written[1] += size;
}

static void client_reads(struct world *w)
{
	static char data[65536];
	int n = SSL_read(w->client, data, sizeof(data));

	ERR_clear_error();
	if (n <= 0)
		return;
	check_read(data, (size_t)n, w->read[0]);
	w->read[0] += (uint64_t)n;
	REQUIRE(w->read[0] <= w->written[1]);
}

/* What a client of OpenSSL wants to write again, it has to write as before. */
static void client_writes(struct world *w, size_t size)
{
	static char data[65536];

	if (size == 0 || size > sizeof(data) || SSL_in_init(w->client))
		return;
	fill(data, size, w->written[0]);
	if (SSL_write(w->client, data, (int)size) == (int)size)
		w->written[0] += size;
	ERR_clear_error();
}

static void client_renews(struct world *w, bool wanted)
{
	if (SSL_version(w->client) == TLS1_3_VERSION)
		SSL_key_update(w->client,
			       wanted ? SSL_KEY_UPDATE_REQUESTED
				      : SSL_KEY_UPDATE_NOT_REQUESTED);
	else if (!SSL_in_init(w->client))
		SSL_renegotiate(w->client);
	SSL_do_handshake(w->client);
	ERR_clear_error();
}

static void settle(struct world *w)
{
	int result = tls_session_settle(w->s);

	REQUIRE(!w->failed || result == -EPROTO);
	note(w, result);
}

/* --- The play ------------------------------------------------------------ */

static bool shake_hands(struct world *w)
{
	int result = -EAGAIN;

	for (int i = 0; i < 8 && result == -EAGAIN; i++) {
		SSL_do_handshake(w->client);
		ERR_clear_error();
		deliver_to_session(w, SIZE_MAX, SIZE_MAX);
		result = tls_session_shake_hands(w->s);
		deliver_to_client(w, SIZE_MAX);
	}
	SSL_do_handshake(w->client);
	ERR_clear_error();
	return result == 0;
}

static void step(struct world *w, uint8_t op, uint8_t a, uint8_t b)
{
	size_t size = (size_t)a << 8 | b;

	switch (op % 10) {
	case 0:
		deliver_to_session(w, size, SIZE_MAX);
		break;
	case 1:
		deliver_to_client(w, size);
		break;
	case 2:
		session_reads(w, size);
		break;
	case 3:
		session_writes(w, size);
		break;
	case 4:
		if (!w->ended)
			client_writes(w, size);
		break;
	case 5:
		client_reads(w);
		break;
	case 6:
		if (!w->ended)
			client_renews(w, a & 1);
		break;
	case 7:
		settle(w);
		break;
	case 8:
		deliver_to_session(w, SIZE_MAX, size);
		break;
	default:
		w->ended = true;
		SSL_shutdown(w->client);
		ERR_clear_error();
		break;
	}
}

static void play(struct world *w, const uint8_t *data, size_t size)
{
	size_t n;

	while (size >= 3) {
		if (data[0] == 255) { /* bytes as they are */
			n = data[1] < size - 2 ? data[1] : size - 2;
			inject(w, data + 2, n);
			w->honest = w->honest && n == 0;
			data += 2 + n;
			size -= 2 + n;
			continue;
		}
		step(w, data[0], data[1], data[2]);
		data += 3;
		size -= 3;
	}
}

/* Nothing is lost on the way between two that keep to the rules. */
static void finish(struct world *w)
{
	uint64_t before;

	for (int idle = 0; idle < 8 && !w->failed; idle++) {
		before = w->read[0] + w->read[1];
		deliver_to_session(w, SIZE_MAX, SIZE_MAX);
		session_reads(w, 0);
		deliver_to_client(w, SIZE_MAX);
		client_reads(w);
		if (w->read[0] + w->read[1] > before)
			idle = 0;
	}
	REQUIRE(!w->honest || w->failed || w->ended ||
		(w->read[0] == w->written[1] && w->read[1] == w->written[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .honest = true };

	if (size == 0)
		return 0;
	w.s = tls_session_new(server);
	w.client = SSL_new(clients);
	w.to_client = BIO_new(BIO_s_mem());
	w.from_client = BIO_new(BIO_s_mem());
	REQUIRE(w.s && w.client && w.to_client && w.from_client);
	SSL_set_max_proto_version(w.client, data[0] & 1 ? TLS1_3_VERSION
							: TLS1_2_VERSION);
	SSL_set_bio(w.client, w.to_client, w.from_client);
	SSL_set_connect_state(w.client);
	if (data[0] & 2) {
		REQUIRE(shake_hands(&w));
		REQUIRE(cert_names_match(tls_session_names(w.s), "DNS",
					 "local*"));
		play(&w, data + 1, size - 1);
		finish(&w);
	} else {
		inject(&w, data + 1, size - 1);
		note(&w, tls_session_shake_hands(w.s));
		REQUIRE(!w.failed || tls_session_shake_hands(w.s) == -EPROTO);
	}
	SSL_free(w.client);
	tls_session_free(w.s);
	return 0;
}
