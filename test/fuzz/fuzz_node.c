/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_node.h"

#include <dirent.h>
#include <ei.h>
#include <netinet/in.h>
#include <time.h>

#include "base/budget.h"
#include "base/clock.h"
#include "dist/handshake.h"
#include "dist/listeners.h"
#include "dist/transport.h"
#include "events/events.h"
#include "fuzz.h"
#include "limits/map_memory.h"
#include "serve/connection.h"
#include "tls/cert_names.h"
#include "world.h"

#define FRESH_MAPS 64 /* plays on the same maps */
#define FUZZ_NODE_MAX_MEMORY (4 * FUZZ_NODE_MAX_MESSAGE)
#define ROOM 40 /* handles beyond those of the world's maps */

static ei_cnode node;
static struct transport listener = { .fd = -1 };
static struct service service;
static struct budget budget = { .max = FUZZ_NODE_MAX_MEMORY };
static const struct permissions everything;
static struct handles_owner *holder; /* owner of the world's maps */

void fuzz_node_start(void)
{
	struct in_addr unused = { htonl(INADDR_LOOPBACK) };
	struct listeners listeners = { .count = 0 };
	struct address loopback;
	unsigned failed;
	int port;

	REQUIRE(address_parse("127.0.0.1", &loopback));
	port = listeners_open(&listeners, &loopback, 1, 0, &failed);
	REQUIRE(port > 0);
	listener.fd = listeners.fds[0];
	REQUIRE(ei_connect_xinit_ussi(
			&node, "localhost", "ebpf", WORLD_NODE, NULL,
			WORLD_COOKIE, 12345, &handshake_callbacks,
			sizeof(handshake_callbacks), &listener) == 0);
	const struct handles_limits limits = {
		.max = world_maps() + ROOM,
		.max_per_node = UINT32_MAX,
		.max_programs_per_node = UINT32_MAX,
	};
	service = (struct service){
		.node = &node,
		.listener = ei_xlisten(&node, &unused, &port, 1),
		.common = {
			.cgroups = -1,
			.handles = handles_new(WORLD_NODE, node.creation,
					       &limits),
			.events = events_new(8, 8, FUZZ_NODE_MAX_MESSAGE, &budget),
			.map_memory = map_memory_new(UINT64_MAX),
			.stats = stats_all_new(),
			.pin_root.fd = -1,
			.file_root = world_files,
			.pin_limit = { .max = UINT32_MAX,
				       .lock = PTHREAD_MUTEX_INITIALIZER },
			.max_message = FUZZ_NODE_MAX_MESSAGE,
		},
		.budget = &budget,
		.peers = peers_new(16, 128),
		.permissions = &everything,
		.max_waiting = SIZE_MAX,
		.ticktime = 3600,
	};
	REQUIRE(service.listener >= 0 && service.common.handles &&
		service.peers && service.common.map_memory &&
		service.common.stats && service.common.events);
}

struct handles *fuzz_node_handles(void)
{
	return service.common.handles;
}

static unsigned threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	unsigned n = 0;

	REQUIRE(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static unsigned threads_before;
static int free_fd_before;

static void hold_maps(void)
{
	const struct cert_names names = { NULL, 0 };
	const struct handles_node node = { "holder@localhost", 1, "none",
					   &names };

	if (holder)
		handles_owner_down(service.common.handles, holder);
	handles_reap(service.common.handles);
	world_make_maps();
	REQUIRE(handles_owner_up(service.common.handles, &node, &holder) == 0);
	world_hold_maps(service.common.handles, holder);
}

void fuzz_node_prepare(void)
{
	static unsigned plays;

	if (plays++ % FRESH_MAPS == 0)
		hold_maps();
	threads_before = threads();
	free_fd_before = world_free_fd();
}

struct permanent {
	erlang_ref refs[ROOM];
	unsigned count;
	unsigned others;
};

static void note_permanent(const struct handles_info *info, void *context)
{
	struct permanent *p = context;

	if (info->lifetime == HANDLES_PERMANENT && p->count < ROOM)
		p->refs[p->count++] = *info->ref;
	else if (!info->owner || strcmp(info->owner->name, WORLD_PEER) == 0)
		p->others++;
}

/* Threads end shortly after their connections. */
static void await_threads(void)
{
	int64_t deadline = clock_ms() + FUZZ_NODE_PATIENCE_MS;
	struct timespec moment = { .tv_nsec = 20000 };

	while (threads() > threads_before) {
		REQUIRE(clock_ms() < deadline);
		nanosleep(&moment, NULL);
	}
}

void fuzz_node_check(void)
{
	struct permanent p = { .count = 0 };
	struct handles_process process;

	await_threads();
	handles_reap(service.common.handles);
	handles_each(service.common.handles, &map_kind, 0, note_permanent, &p);
	REQUIRE(p.others == 0);
	for (unsigned i = 0; i < p.count; i++)
		handles_close(service.common.handles, NULL, &p.refs[i], false,
			      &process);
	/* a play may have closed handles of the world's maps */
	REQUIRE(world_free_fd() <= free_fd_before);
}

void fuzz_node_connect(int fd)
{
	connection_start(&service, fd);
}
