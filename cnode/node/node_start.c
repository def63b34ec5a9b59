/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start: the node name, the listening socket, the state that connections
 * share; then privileges are dropped, and the name is registered with epmd.
 */
#include "node/node_internal.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "bpf/kernel_btf.h"
#include "bpf/program_words.h"
#include "confine/privilege.h"
#include "confine/sandbox.h"
#include "dist/cookie.h"
#include "dist/epmd.h"
#include "dist/handshake.h"
#include "events/events.h"
#include "host/bpf_fs.h"
#include "host/cgroups.h"
#include "host/host_memory.h"
#include "host/pin_path.h"
#include "limits/map_memory.h"
#include "loader/loader.h"
#include "node/signals.h"
#include "restore/restore.h"
#include "state/state.h"
#include "tls/tls.h"
#include "tls/tls_session.h"

#define EI_MAX_FDS (1u << 20)
#define SPARE_FDS 64 /* listener, epmd, files that a call opens */
#define CONNECTION_FDS 8
#define LOAD_FDS 3 /* of a request to the loader, without its answer's */
#define KEPT_FREE (64 << 20) /* bytes, until a connection ends */
#define OWN_MEMORY (KEPT_FREE + ((uint64_t)64 << 20)) /* without peers */
#define MAP_SIZE 4096 /* bytes of a handle with all that belongs to it */

/* --- The process -------------------------------------------------------- */

/*
 * A connection that has had large messages will have more: their memory is kept
 * until it ends. It is returned to the system by malloc_trim(3), which trims
 * everything only if there is a single arena.
 */
static void tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, KEPT_FREE / 2);
	mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
}

/*
 * ei sizes a table by the limit, and some hosts have hard limits of a billion,
 * so it is raised fully only after ei_init(). If it cannot be raised, it stays.
 */
static bool raise_fd_limit_and_init_ei(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return ei_init() == 0;
	limit.rlim_cur =
		limit.rlim_max < EI_MAX_FDS ? limit.rlim_max : EI_MAX_FDS;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (ei_init() != 0)
		return false;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return true;
}

__attribute__((format(printf, 2, 0))) static int
log_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	(void)level;
	log_vlimited(&limit, NULL, LOG_DEBUG, format, arguments);
	return 0;
}

/* --- The start ---------------------------------------------------------- */

static bool get_creation(uint32_t *creation)
{
	do {
		if (getrandom(creation, sizeof(*creation), 0) !=
		    sizeof(*creation))
			return false;
	} while (*creation < 4); /* reserved by ei */
	return true;
}

static enum exit_status init_ei_node(struct node *node)
{
	const struct options *options = node->options;
	char name[sizeof(options->alive) + sizeof(options->host)];
	char cookie[EI_MAX_COOKIE_SIZE + 1];
	uint32_t creation;

	if (!cookie_read(options->cookie_file, cookie))
		return STATUS_COOKIE;
	/* with these, ei would print challenges and digests */
	unsetenv("EI_TRACELEVEL");
	unsetenv("ERL_DEBUG_DIST");
	snprintf(name, sizeof(name), "%s@%s", options->alive, options->host);
	if (strlen(name) > MAXNODELEN - 1) {
		log_error("the node name %s is longer than %d characters", name,
			  MAXNODELEN - 1);
		return STATUS_USAGE;
	}
	if (!raise_fd_limit_and_init_ei() || !get_creation(&creation) ||
	    ei_connect_xinit_ussi(
		    &node->ei, options->host, options->alive, name, NULL,
		    cookie, creation, &handshake_callbacks,
		    sizeof(handshake_callbacks), &node->listener) < 0) {
		log_error("cannot initialise libei: %s", strerror(errno));
		return STATUS_OTHER;
	}
	explicit_bzero(cookie, sizeof(cookie));
	return STATUS_OK;
}

static enum exit_status check_privilege(void)
{
	char program[4096] = "ebpf_cnode";
	int error = map_check_privilege();
	ssize_t n;

	if (error == 0)
		return STATUS_OK;
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (n > 0)
		program[n] = '\0';
	if (error == -EPERM && privilege_may_make_maps()) {
		log_error("this process may not make eBPF maps, though it has "
			  "the capabilities: bpf(2) is refused by the seccomp "
			  "filter of a container or by a security module, "
			  "which has to allow it");
		return STATUS_PRIVILEGE;
	}
	if (error == -EPERM) {
		log_error("this process may not make eBPF maps: run it as "
			  "root, or give it the capabilities by `setcap "
			  "cap_bpf,cap_net_admin+ep %s'",
			  program);
		return STATUS_PRIVILEGE;
	}
	log_error("the kernel makes no eBPF maps: %s", strerror(-error));
	return STATUS_OTHER;
}

/*
 * For pins; without it the node serves everything else. A new mount belongs to
 * the user that the node will become.
 */
static void mount_bpf_fs(const struct user *user)
{
	int result = bpf_fs_mount();

	if (result < 0)
		log_info("no bpf file system at " BPF_FS_ROOT
			 ", and none could be mounted: %s",
			 strerror(-result));
	if (result == 1)
		privilege_give(BPF_FS_ROOT, user);
}

static enum exit_status open_roots(struct node *node)
{
	const struct options *options = node->options;
	struct service *service = &node->service;
	enum exit_status status = pin_path_open_root(&service->common.pin_root,
						     options->pin_root);

	if (status == STATUS_OK)
		status = root_open(&service->common.file_root, "file-root",
				   options->file_root);
	if (status == STATUS_OK)
		status = root_open(&service->common.netns_root, "netns-root",
				   options->netns_root);
	service->common.cgroups = cgroups_open();
	return status;
}

/* After the loader has started, which must not have the lock on it. */
static enum exit_status open_state(struct node *node)
{
	const struct options *options = node->options;
	const struct user *user = &options->user;

	if (!options->keep)
		return STATUS_OK;
	return state_open(&node->state, options->keep,
			  user->name ? user->uid : geteuid(),
			  user->name ? user->gid : getegid());
}

/* A pin root in it would be of no use: callers reach nothing there. */
static enum exit_status check_state(const struct node *node)
{
	int pin_root = node->service.common.pin_root.fd;

	if (!node->state || pin_root < 0 || !bpf_fs_hides(pin_root))
		return STATUS_OK;
	log_error("--pin-root %s is in the folder of --keep, where callers "
		  "reach nothing; give them folders apart from each other",
		  node->options->pin_root);
	return STATUS_USAGE;
}

/* Once read, they leave a hole of their size in the heap. */
static enum exit_status read_kernel_types(struct node *node)
{
	int error;

	if (!node->options->vmlinux_types)
		return STATUS_OK;
	error = kernel_btf_read_own(&node->service.common.vmlinux);
	malloc_trim(0);
	if (error == 0)
		return STATUS_OK;
	log_error("cannot read the types of the kernel in " KERNEL_BTF_OWN
		  ": %s; they are there if it was built with "
		  "CONFIG_DEBUG_INFO_BTF; or leave out --vmlinux-types",
		  strerror(-error));
	return STATUS_OTHER;
}

/* The kernel will refuse them one by one, with no word of why. */
static void warn_of_missing_privileges(uint32_t words)
{
	if ((words & (1u << PROGRAMS_TRACING)) &&
	    !privilege_has(PRIVILEGE_PERFMON))
		log_warning("--programs has tracing types, which take "
			    "cap_perfmon, and this process lacks it: none of "
			    "them can be loaded");
	if ((words & ~((1u << PROGRAMS_TRACING) | (1u << PROGRAMS_SOCKET))) &&
	    !privilege_has(PRIVILEGE_NET_ADMIN))
		log_warning("--programs has types of the network, which take "
			    "cap_net_admin, and this process lacks it: none of "
			    "them can be loaded");
}

/* Before this process knows the cookie. */
static enum exit_status start_loader(struct node *node)
{
	const struct options *options = node->options;
	struct call_common *common = &node->service.common;
	const struct loader_options loader = {
		.words = options->programs,
		.max_loads = options->max_loads,
		.max_keepers = options->max_programs,
		.load_seconds = options->load_seconds,
		.run_seconds = options->run_seconds,
		.memory = options->load_memory,
		.user = &options->user,
		.no_sandbox = options->no_sandbox,
	};
	enum exit_status status;

	if (options->programs == 0)
		return STATUS_OK;
	status = check_privilege();
	if (status != STATUS_OK)
		return status;
	warn_of_missing_privileges(options->programs);
	common->program_words = options->programs;
	/* without it, {netns, own} is no target */
	common->own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	common->loader = loader_start(&loader);
	return common->loader ? STATUS_OK : STATUS_OTHER;
}

static enum exit_status refuse_address(const struct options *options,
				       unsigned failed, int error)
{
	char text[ADDRESS_TEXT_SIZE];

	address_format_host(&options->listen[failed], text);
	log_error("cannot listen on %s port %u: %s; choose another with "
		  "--listen or --port",
		  text, options->port, strerror(-error));
	return STATUS_LISTEN;
}

/* ei takes the first one for its own, and binds nothing itself. */
static enum exit_status open_listeners(struct node *node)
{
	const struct options *options = node->options;
	struct in_addr unused = { .s_addr = INADDR_ANY };
	unsigned failed;

	node->port = listeners_open(&node->listeners, options->listen,
				    options->listen_count,
				    (uint16_t)options->port, &failed);
	if (node->port < 0)
		return refuse_address(options, failed, node->port);
	node->listener.fd = node->listeners.fds[0];
	node->service.listener = ei_xlisten(&node->ei, &unused, &node->port, 0);
	if (node->service.listener >= 0)
		return STATUS_OK;
	log_error("cannot initialise libei: %s", strerror(erl_errno));
	return STATUS_OTHER;
}

/* Once this process knows the key; the loader has started without it. */
static enum exit_status open_tls(struct node *node)
{
	const struct options *options = node->options;
	const struct tls_options tls = {
		.folder = options->tls,
		.host = options->host,
		.only_1_3 = options->tls_only_1_3,
	};
	enum exit_status status =
		options->tls ? tls_open(&node->tls, &tls) : STATUS_OK;

	node->service.tls = node->tls;
	node->service.tls_or_plain = options->tls_or_plain;
	node->service.tls_any_name = options->tls_any_name;
	return status;
}

/* One for each processor, of each subscription. */
static rlim_t most_perf_events(const struct options *options)
{
	int cpus = libbpf_num_possible_cpus();

	if (!program_words_have(options->programs, PROGRAMS_TRACING) ||
	    cpus < 0)
		return 0;
	return (rlim_t)options->max_subscriptions * (rlim_t)cpus;
}

/*
 * Lowers the descriptor limit to the most that can be in use: one for each
 * connection, and some for the objects that its request names or walks. Returns
 * how many maps may be open without taking those that connections need, and
 * *max_perf, how many perf events beside these.
 */
static uint32_t bound_descriptors(struct node *node, uint32_t *max_perf)
{
	const struct options *options = node->options;
	rlim_t kept = node->state ? state_files(node->state) : 0;
	/* what is kept may be more than --max-maps */
	rlim_t maps = options->max_maps > kept ? options->max_maps : kept;
	rlim_t connections =
		(rlim_t)options->max_connections + options->max_handshakes;
	rlim_t loads = options->programs ? options->max_loads : 0;
	rlim_t needed = connections + SPARE_FDS + loads * LOAD_FDS;
	rlim_t with_maps = needed + maps;
	rlim_t perf = most_perf_events(options);
	/* a subscription may have a descriptor of its own of the ring */
	rlim_t most = connections * CONNECTION_FDS + SPARE_FDS +
		      options->max_subscriptions + maps + perf +
		      loads * (LOAD_FDS + LOADER_MAX_ANSWER_FDS);
	struct rlimit limit;

	*max_perf = (uint32_t)perf;

	if (options->programs)
		most += options->max_programs;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return options->max_maps;
	if (limit.rlim_cur > most) {
		limit.rlim_cur = most;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	node->last_kept_fd = limit.rlim_cur < INT32_MAX
				     ? (int)(limit.rlim_cur - needed)
				     : INT32_MAX;
	if (limit.rlim_cur >= with_maps) {
		if (limit.rlim_cur - with_maps < perf)
			*max_perf = (uint32_t)(limit.rlim_cur - with_maps);
		return options->max_maps;
	}
	*max_perf = 0;
	limit.rlim_cur = limit.rlim_cur > needed ? limit.rlim_cur - needed : 1;
	log_warning("--max-maps %u is lowered to %u: the descriptor limit "
		    "leaves no more beside --max-connections %u; raise "
		    "`ulimit -Hn'",
		    options->max_maps, (unsigned)limit.rlim_cur,
		    options->max_connections);
	return (uint32_t)limit.rlim_cur;
}

/* --max-map-memory should refuse a map before the cgroup kills the process. */
static void check_cgroup(const struct options *options, uint64_t maps,
			 uint64_t cgroup)
{
	uint64_t needed = cgroup / 5 * 4;

	if (maps == UINT64_MAX ||
	    (maps <= needed && options->max_memory <= needed - maps))
		return;
	log_warning("the cgroup is limited to %llu bytes of memory, less than "
		    "--max-map-memory %llu plus --max-memory %llu plus a "
		    "quarter: at its limit the kernel may kill this process; "
		    "lower these, or raise that",
		    (unsigned long long)cgroup, (unsigned long long)maps,
		    (unsigned long long)options->max_memory);
}

/* --max-map-memory, or half of the memory of the cgroup or the host. */
static uint64_t most_map_memory(struct node *node)
{
	uint64_t maps = node->options->max_map_memory;
	struct host_memory memory;
	bool by_cgroup;

	host_memory_read(&memory);
	by_cgroup = memory.cgroup < memory.host;
	if (maps == 0) {
		maps = (by_cgroup ? memory.cgroup : memory.host) / 2;
		node->map_memory_is_half_of =
			by_cgroup ? "the cgroup may use" : "this host has";
	}
	if (by_cgroup)
		check_cgroup(node->options, maps, memory.cgroup);
	node->max_map_memory = maps;
	return maps;
}

/* Logged last: a start that fails logs nothing but the error. */
static void log_map_memory(const struct node *node)
{
	if (node->map_memory_is_half_of)
		log_notice("maps may take %llu bytes of memory, half of what "
			   "%s; --max-map-memory sets another limit",
			   (unsigned long long)node->max_map_memory,
			   node->map_memory_is_half_of);
}

/* Subscriptions end with the handle of their ring. */
static void handle_ended(const struct resource *resource, void *events)
{
	if (resource->kind == &map_kind)
		events_map_closed(events, (const struct map *)resource);
}

static enum exit_status init_service(struct node *node)
{
	struct service *service = &node->service;
	const struct options *options = node->options;
	uint32_t max_perf;
	struct handles_limits limits = {
		.max = bound_descriptors(node, &max_perf),
		.max_per_node = options->max_maps_per_node,
		.max_programs = options->programs ? options->max_programs : 0,
		.max_programs_per_node = options->max_programs_per_node,
		.grace = options->grace,
	};

	service->node = &node->ei;
	service->common.max_message = options->max_message;
	service->common.options = (struct call_options){
		.open_by_id = !options->no_open_by_id,
		.keep = options->keep != NULL,
		.tls = options->tls != NULL,
		.max_maps = limits.max,
		.max_maps_per_node = limits.max_per_node,
		.grace = limits.grace,
		.max_programs = options->max_programs,
		.max_programs_per_node = options->max_programs_per_node,
		.max_subscriptions = options->max_subscriptions,
	};
	service->permissions = &options->permissions;
	service->max_waiting = options->max_waiting;
	service->ticktime = options->ticktime;
	service->common.handles =
		handles_new(node->ei.thisnodename, node->ei.creation, &limits);
	service->peers =
		peers_new(options->max_connections, options->max_handshakes);
	node->budget.max = options->max_memory;
	service->budget = &node->budget;
	service->common.map_memory = map_memory_new(most_map_memory(node));
	pin_limit_init(&service->common.pin_limit, options->max_pins);
	service->common.stats = stats_all_new();
	service->common.events =
		events_new(options->max_subscriptions, max_perf,
			   options->max_message, &node->budget);
	if (service->common.handles && service->peers &&
	    service->common.map_memory && service->common.stats &&
	    service->common.events) {
		handles_tell(service->common.handles, handle_ended,
			     service->common.events);
		return STATUS_OK;
	}
	log_error("out of memory");
	return STATUS_OTHER;
}

/*
 * The data segment for as many connections and maps as there may be, with a
 * reserve for a fragmented heap. 0 is no limit, if --max-memory is huge.
 */
static uint64_t most_memory(const struct node *node)
{
	const struct options *options = node->options;
	uint64_t kept = node->state ? state_files(node->state) : 0;
	uint64_t connections =
		(uint64_t)options->max_connections + options->max_handshakes;

	if (options->max_memory > UINT64_MAX / 4)
		return 0;
	return OWN_MEMORY +
	       connections * (CONNECTION_SIZE +
			      (options->tls ? TLS_SESSION_SIZE : 0)) +
	       (options->max_maps + kept) * MAP_SIZE + 2 * options->max_memory;
}

/* The last chance to change the user and to run epmd. */
static enum exit_status give_up_privileges(const struct node *node)
{
	const struct options *options = node->options;
	const char *folders[TLS_MAX_FOLDERS];
	const struct sandbox sandbox = {
		.pin_root = node->service.common.pin_root.fd,
		.netns_root = node->service.common.netns_root.fd,
		.keep = node->state ? state_folder(node->state) : -1,
		.cgroups = node->service.common.cgroups,
		.folders = folders,
		.folder_count = node->tls ? tls_folders(node->tls, folders) : 0,
		.epmd_port = options->no_epmd ? 0 : epmd_port(),
		.memory = most_memory(node),
		.open_by_id = !options->no_open_by_id,
		.programs = options->programs != 0,
		.off = options->no_sandbox,
	};
	enum exit_status status = privilege_change_user(&options->user);

	if (status == STATUS_OK && !options->no_epmd)
		status = epmd_start();
	if (status == STATUS_OK)
		status = sandbox_enter(&sandbox);
	if (status == STATUS_OK && node->tls)
		tls_check_readable(node->tls);
	if (status == STATUS_OK)
		status = root_check(&node->service.common.pin_root, "pin-root");
	if (status == STATUS_OK)
		status = root_check(&node->service.common.file_root,
				    "file-root");
	if (status == STATUS_OK)
		status = root_check(&node->service.common.netns_root,
				    "netns-root");
	return status;
}

/* Before the first node connects, and as confined as when it does. */
static enum exit_status restore_state(struct node *node)
{
	const struct call_common *common = &node->service.common;
	const struct restore restore = {
		.state = node->state,
		.handles = common->handles,
		.map_memory = common->map_memory,
		.budget = &node->budget,
		.node = node->ei.thisnodename,
		.last_fd = node->last_kept_fd,
		.creation = node->ei.creation,
	};
	enum exit_status status;

	if (!node->state)
		return STATUS_OK;
	status = state_load(node->state);
	return status == STATUS_OK ? restore_all(&restore) : status;
}

enum exit_status node_start(struct node *node)
{
	const struct options *options = node->options;
	enum exit_status status;

	tune_malloc();
	notify_open(&node->notify);
	if (options->until_eof)
		notify_close(&node->notify); /* the service is our parent */
	privilege_begin(!options->no_sandbox);
	libbpf_set_print(log_libbpf);
	status = options->no_epmd ? STATUS_OK : epmd_check_port(options->port);
	if (status == STATUS_OK)
		status = start_loader(node);
	if (status == STATUS_OK)
		status = init_ei_node(node);
	if (status == STATUS_OK)
		status = open_tls(node);
	if (status == STATUS_OK)
		status = check_privilege();
	if (status == STATUS_OK) {
		mount_bpf_fs(&options->user);
		status = open_roots(node);
	}
	if (status == STATUS_OK)
		status = open_state(node);
	if (status == STATUS_OK)
		status = check_state(node);
	if (status == STATUS_OK)
		status = read_kernel_types(node);
	if (status == STATUS_OK)
		status = open_listeners(node);
	if (status == STATUS_OK)
		status = init_service(node);
	if (status == STATUS_OK)
		status = give_up_privileges(node);
	if (status == STATUS_OK)
		status = restore_state(node);
	if (status == STATUS_OK && !options->no_epmd)
		status = epmd_publish(&node->ei, node->port);
	if (status != STATUS_OK)
		return status;
	/* a service manager asks for a reload whether there is one or not */
	node->signals = signals_open(node->tls || node->notify.fd >= 0);
	if (node->signals < 0) {
		log_error("cannot create a signalfd: %s", strerror(errno));
		return STATUS_OTHER;
	}
	log_map_memory(node);
	if (node->tls)
		tls_log(node->tls);
	return STATUS_OK;
}
