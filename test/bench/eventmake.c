/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes events at a steady rate, by the program of test/bpf/events.bpf.c.
 *
 *	eventmake OBJECT PIN SIZE RATE COUNT
 *
 * Pins the ring, prints "ready", and begins once a line has come: so many
 * events of SIZE bytes, RATE a second; a thousand times a second, or one at a
 * time where there are fewer. Prints how many it has made and how many of them
 * the ring had no room for, waits for another line, and unpins the ring.
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

#define SECOND 1000000000ull
#define TURNS 1000ull /* a second, at most */
#define MOST_CPUS 1024

struct order {
	uint32_t count;
	uint32_t size;
	uint32_t discard;
	char packet[52]; /* the least that the kernel runs a program on is 14 */
};

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || end == text || n < 1)
		errx(2, "no number: %s", text);
	return n;
}

static struct bpf_object *load(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program;

	if (!object)
		err(1, "%s", path);
	bpf_object__for_each_program(program, object) bpf_program__set_autoload(
		program, strcmp(bpf_program__name(program), "events") == 0);
	if (bpf_object__load(object) < 0)
		err(1, "no load of %s", path);
	return object;
}

static void emit(int program, uint32_t count, uint32_t size)
{
	struct order order = { .count = count, .size = size };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &order,
		    .data_size_in = sizeof(order), .repeat = 1);

	if (bpf_prog_test_run_opts(program, &options) < 0 ||
	    options.retval != 1)
		err(1, "no run");
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / SECOND),
			      .tv_nsec = (long)(ns % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) ==
	       EINTR)
		;
}

static void make(int program, uint32_t size, uint64_t rate, uint64_t count)
{
	const uint64_t turns = rate < TURNS ? rate : TURNS;
	struct timespec t;
	uint64_t begin, made = 0, due;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	begin = (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
	for (uint64_t turn = 1; made < count; turn++) {
		sleep_until(begin + turn * SECOND / turns);
		due = turn * rate / turns;
		due = due < count ? due : count;
		emit(program, (uint32_t)(due - made), size);
		made = due;
	}
}

static uint64_t lost_of(const struct bpf_object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, "lost");
	uint64_t values[MOST_CPUS] = { 0 }, sum = 0;
	uint32_t key = 0;

	if (!map || bpf_map_lookup_elem(bpf_map__fd(map), &key, values) < 0)
		err(1, "no count of lost events");
	for (int i = 0; i < MOST_CPUS; i++)
		sum += values[i];
	return sum;
}

static void wait_for_line(void)
{
	int c;

	while ((c = getchar()) != '\n' && c != EOF)
		;
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct bpf_program *program;
	struct bpf_map *ring;

	if (argc != 6)
		errx(2, "usage: eventmake OBJECT PIN SIZE RATE COUNT");
	object = load(argv[1]);
	program = bpf_object__find_program_by_name(object, "events");
	ring = bpf_object__find_map_by_name(object, "ring");
	if (!program || !ring || bpf_map__pin(ring, argv[2]) < 0)
		err(1, "no pin at %s", argv[2]);
	printf("ready\n");
	(void)fflush(stdout);
	wait_for_line();
	make(bpf_program__fd(program), (uint32_t)number(argv[3]),
	     number(argv[4]), number(argv[5]));
	printf("%s %llu\n", argv[5], (unsigned long long)lost_of(object));
	(void)fflush(stdout);
	wait_for_line();
	(void)bpf_map__unpin(ring, argv[2]);
	return 0;
}
