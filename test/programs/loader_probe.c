/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the loader as the node does: links the node's own objects, starts the
 * loader by the node's own function, enters the node's sandbox, and makes
 * requests, each in a thread of its own as those of connections are.
 *
 *	loader_probe WORDS MAX_LOADS SECONDS
 *
 * Prints "loader PID". Each line of its input is a request, ID NODE JOB
 * OBJECT, or "cancel ID"; each answer is a line ID OUTCOME BYTES KIND..., with
 * the kind of each descriptor that came. Ends with its input.
 */
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/program_words.h"
#include "confine/privilege.h"
#include "confine/sandbox.h"
#include "host/user.h"
#include "loader/loader.h"

#define MAX_REQUESTS 1024

static struct loader *loader;
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

static struct request {
	char node[64];
	char object[64];
	unsigned job;
	atomic_bool stopped;
	pthread_t thread;
} requests[MAX_REQUESTS];

static const char *const outcomes[] = {
	[LOADER_ANSWERED] = "answered", [LOADER_GONE] = "gone",
	[LOADER_KILLED] = "killed",     [LOADER_TIMEOUT] = "timeout",
	[LOADER_BUSY] = "busy",         [LOADER_NO_MEMORY] = "no_memory",
	[LOADER_CANCELED] = "canceled",
};

static void print_fds(struct loader_answer *answer)
{
	char path[64], kind[PATH_MAX];
	ssize_t n;
	int fd;

	for (unsigned i = 0; i < answer->fd_count; i++) {
		fd = loader_answer_take(answer, i);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, kind, sizeof(kind) - 1);
		printf(" %.*s", n > 0 ? (int)n : 1, n > 0 ? kind : "?");
		close(fd);
	}
}

static void *ask(void *argument)
{
	struct request *request = argument;
	struct records records = { 0 };
	struct record record = { .kind = LOADER_O_NAME, .fd = RECORD_NO_FD };
	struct loader_answer answer;
	const struct loader_request asked = {
		.job = request->job,
		.records = &records,
		.object = request->object,
		.object_size = strlen(request->object),
		.node = request->node,
		.stopped = &request->stopped,
	};
	enum loader_outcome outcome;

	records_add(&records, &record);
	outcome = loader_ask(loader, &asked, &answer);
	pthread_mutex_lock(&printing);
	printf("%d %s %zu", (int)(request - requests), outcomes[outcome],
	       answer.size);
	if (outcome == LOADER_ANSWERED)
		print_fds(&answer);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&printing);
	loader_answer_free(&answer);
	records_free(&records);
	return NULL;
}

static bool serve(const char *line)
{
	unsigned id;
	struct request *request;

	if (sscanf(line, "cancel %u", &id) == 1 && id < MAX_REQUESTS) {
		atomic_store(&requests[id].stopped, true);
		return true;
	}
	if (sscanf(line, "%u", &id) != 1 || id >= MAX_REQUESTS)
		return false;
	request = &requests[id];
	return sscanf(line, "%*u %63s %u %63s", request->node, &request->job,
		      request->object) == 3 &&
	       pthread_create(&request->thread, NULL, ask, request) == 0;
}

static pid_t find_loader(void)
{
	char children[64];
	FILE *file;
	int pid = 0;

	snprintf(children, sizeof(children), "/proc/self/task/%d/children",
		 (int)getpid());
	file = fopen(children, "re");
	if (!file || fscanf(file, "%d", &pid) != 1)
		pid = -1;
	if (file)
		fclose(file);
	return pid;
}

int main(int argc, char *argv[])
{
	static struct user nobody_else;
	struct loader_options options = { .run_seconds = 1,
					  .memory = 512u << 20,
					  .user = &nobody_else };
	const struct sandbox sandbox = { .pin_root = -1,
					 .netns_root = -1,
					 .keep = -1,
					 .cgroups = -1,
					 .epmd_port = 4369,
					 .open_by_id = true,
					 .programs = true };
	char line[256];

	if (argc < 4 || program_words_read(argv[1], &options.words))
		return 2;
	options.max_loads = (unsigned)atoi(argv[2]);
	options.load_seconds = (unsigned)atoi(argv[3]);
	mallopt(M_ARENA_MAX, 1); /* as the node does: see node_start.c */
	privilege_begin(true);
	loader = loader_start(&options);
	if (!loader || sandbox_enter(&sandbox) != STATUS_OK)
		return 1;
	printf("loader %d\n", (int)find_loader());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		if (!serve(line))
			return 2;
	for (size_t i = 0; i < MAX_REQUESTS; i++)
		if (requests[i].thread)
			pthread_join(requests[i].thread, NULL);
	loader_stop(loader);
	return 0;
}
