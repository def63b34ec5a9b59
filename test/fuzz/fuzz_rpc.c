/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes requests, on maps of all types in the real kernel: the output is whole
 * packets, and nothing is left behind except in the maps. An input is a byte of
 * settings and a packet.
 */
#include <sys/socket.h>

#include "base/budget.h"
#include "dist/control.h"
#include "dist/dflags.h"
#include "dist/transport.h"
#include "events/events.h"
#include "fuzz.h"
#include "host/pin_path.h"
#include "limits/map_memory.h"
#include "limits/pin_limit.h"
#include "serve/session.h"
#include "tls/cert_names.h"
#include "world.h"

#define MAX_SIZE 16384
#define FRESH_MAPS 256 /* inputs on the same maps */
#define ROOM 8         /* handles beyond those of the world's maps */

/* Bits of the first byte. */
enum setting {
	CUT_SHORT = 1, /* the start of a request that is too long */
	SMALL_ANSWERS = 2,
	NO_ALIAS = 4,
	NO_EXIT_PAYLOAD = 8,
	FULL = 16, /* no handle is left */
	STOPPED = 32,
	READ_ONLY = 64,
};

static ei_cnode node;
static atomic_bool stopped;
static struct map_memory *map_memory;
static struct stats_all *all_stats;
static struct budget budget = { .max = SIZE_MAX };
static struct events *events;
static struct transport transport;
static int other_end;

/* Subscriptions tell of their ends by it. */
static void make_transport(void)
{
	int ends[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	REQUIRE(transport_init(&transport, ends[0], 60, 65536, NULL));
	other_end = ends[1];
}

/* What was told are whole packets, unless the socket was full. */
static void check_told(void)
{
	static char told[1 << 18];
	ssize_t n = recv(other_end, told, sizeof(told), MSG_DONTWAIT);

	if (n > 0 && transport.rest.size == 0)
		world_check_packets(told, (size_t)n);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	world_init();
	REQUIRE(ei_connect_xinit(&node, "localhost", "ebpf", WORLD_NODE, NULL,
				 WORLD_COOKIE, 12345) == 0);
	map_memory = map_memory_new(UINT64_MAX);
	all_stats = stats_all_new();
	events = events_new(8, 8, 65536, &budget);
	REQUIRE(map_memory && all_stats && events);
	make_transport();
	return 0;
}

static void serve(struct session *session, unsigned settings,
		  const char *packet, size_t size)
{
	bool whole = !(settings & CUT_SHORT);
	static const struct raised raised = { .reason = RAISED_TOO_BIG };
	struct control_message message;
	struct term_writer out;
	int error;

	if (control_parse(packet, size, whole, &message) < 0)
		return;
	term_writer_init(&out);
	error = whole ? session_serve(session, &message, &out)
		      : session_refuse(session, &message, &raised, &out);
	REQUIRE(error == 0 || error == -EBADMSG || error == -EMSGSIZE);
	if (error == 0)
		world_check_packets(out.buf, out.pos);
	term_writer_fini(&out);
}

static uint64_t peer_flags(unsigned settings)
{
	uint64_t flags = UINT64_MAX;

	if (settings & NO_ALIAS)
		flags &= ~DFLAG_ALIAS;
	if (settings & NO_EXIT_PAYLOAD)
		flags &= ~DFLAG_EXIT_PAYLOAD;
	return flags;
}

static void serve_anew(unsigned settings, char *packet, size_t size)
{
	const struct handles_limits limits = {
		.max = world_maps() + (settings & FULL ? 0 : ROOM),
		.max_per_node = UINT32_MAX,
		.max_programs_per_node = UINT32_MAX,
	};
	static struct stats stats;
	struct handles *handles =
		handles_new(WORLD_NODE, node.creation, &limits);
	struct call_common common = {
		.handles = handles,
		.events = events,
		.map_memory = map_memory,
		.stats = all_stats,
		.pin_root.fd = -1,
		.file_root = world_files,
		.cgroups = -1,
		.pin_limit = { .max = UINT32_MAX,
			       .lock = PTHREAD_MUTEX_INITIALIZER },
		.max_message = settings & SMALL_ANSWERS ? 512 : 65536,
	};
	const struct cert_names names = { NULL, 0 };
	const struct handles_node peer = { WORLD_PEER, 7, "none", &names };
	struct handles_owner *owner = NULL;
	int up = handles_owner_up(handles, &peer, &owner);
	struct session session = {
		.name = WORLD_NODE,
		.peer = WORLD_PEER,
		.peer_size = strlen(WORLD_PEER),
		.peer_flags = peer_flags(settings),
		.context = {
			.common = &common,
			.owner = owner,
			.peer = WORLD_PEER,
			.permission = settings & READ_ONLY ? PERMISSION_READ
							   : PERMISSION_WRITE,
			.stats = &stats,
			.stopped = &stopped,
		},
	};

	REQUIRE(up == 0);
	REQUIRE(pids_init(&session.pids, &node));
	session.context.events =
		events_join(events, &transport, &session.pids, WORLD_PEER);
	REQUIRE(session.context.events);
	atomic_store(&stopped, settings & STOPPED);
	world_hold_maps(handles, owner);
	world_put_handles(handles, packet, size);
	serve(&session, settings, packet, size);
	events_leave(session.context.events);
	check_told();
	call_context_fini(&session.context);
	handles_owner_down(handles, owner);
	handles_free(handles);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	char *packet;
	int free_fd;

	if (size < 1 || size > MAX_SIZE)
		return 0;
	if (inputs++ % FRESH_MAPS == 0)
		world_make_maps();
	free_fd = world_free_fd();
	packet = fuzz_copy(data + 1, size - 1);
	serve_anew(data[0], packet, size - 1);
	free(packet);
	world_check_released();
	REQUIRE(world_free_fd() == free_fd);
	return 0;
}
