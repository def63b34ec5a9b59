/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a ring buffer by libbpf, as a program of one's own would.
 *
 *	eventread PIN COUNT [port]
 *
 * Prints "ready", then reads so many events, or until none has come for a
 * second once there was one; and prints how many it has read. As a port program
 * of Erlang ({packet, 4}) it sends them on, 64 KiB together where so many have
 * come, instead; and at the end the number alone, as text.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BATCH 65536u
#define IDLE_MS 1000

struct reader {
	uint64_t count, wanted, sum;
	int port;
	uint32_t size;
	unsigned char packet[4 + BATCH];
};

static void write_all(const unsigned char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, bytes, size);

		if (n < 0 && errno != EINTR)
			err(1, "write");
		bytes += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

static void flush(struct reader *reader)
{
	const uint32_t size = reader->size;

	if (size == 0)
		return;
	for (int i = 0; i < 4; i++)
		reader->packet[i] = (unsigned char)(size >> (24 - 8 * i));
	write_all(reader->packet, 4 + size);
	reader->size = 0;
}

static void say(struct reader *reader, const char *text)
{
	if (!reader->port) {
		printf("%s\n", text);
		(void)fflush(stdout);
		return;
	}
	flush(reader);
	reader->size = (uint32_t)strlen(text);
	memcpy(reader->packet + 4, text, reader->size);
	flush(reader);
}

static int take(void *context, void *data, size_t size)
{
	struct reader *reader = context;
	uint64_t number;

	if (size > BATCH || size < sizeof(number))
		errx(1, "an event of %zu bytes", size);
	memcpy(&number, data, sizeof(number));
	reader->sum += number;
	reader->count++;
	if (!reader->port)
		return 0;
	if (reader->size + size > BATCH)
		flush(reader);
	memcpy(reader->packet + 4 + reader->size, data, size);
	reader->size += (uint32_t)size;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	static struct reader reader;
	int64_t last = 0;
	struct ring_buffer *ring;
	char text[32];
	int fd, n;

	if (argc < 3)
		errx(2, "usage: eventread PIN COUNT [port]");
	reader.wanted = strtoull(argv[2], NULL, 10);
	reader.port = argc > 3;
	fd = bpf_obj_get(argv[1]);
	ring = fd < 0 ? NULL : ring_buffer__new(fd, take, &reader, NULL);
	if (!ring)
		err(1, "%s", argv[1]);
	say(&reader, "ready");
	while (reader.count < reader.wanted) {
		n = ring_buffer__poll(ring, IDLE_MS);
		if (n < 0 && n != -EINTR)
			errx(1, "poll: %s", strerror(-n));
		/* it may wake up for nothing */
		if (n > 0)
			last = now_ms();
		else if (reader.count > 0 && now_ms() - last >= IDLE_MS)
			break;
		flush(&reader);
	}
	(void)snprintf(text, sizeof(text), "%llu",
		       (unsigned long long)reader.count);
	say(&reader, text);
	/* its CPU time is read meanwhile */
	(void)getchar();
	return 0;
}
