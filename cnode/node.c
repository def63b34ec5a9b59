/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are: the ei_cnode, the listening socket, the name with epmd; and the
 * main thread, which accepts connections, ends what has had its time, and
 * waits for signals.
 */
#include "node.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf_fs.h"
#include "budget.h"
#include "connection.h"
#include "cookie.h"
#include "epmd.h"
#include "handshake.h"
#include "log.h"
#include "map_memory.h"
#include "notify.h"
#include "pin_root.h"
#include "privilege.h"
#include "sandbox.h"
#include "stats_log.h"

#define BACKLOG 512
#define BUSY_LOOK_MS 500   /* how often busy peers are looked after */
#define NO_FD_PAUSE_MS 100 /* in accepting, when there is no descriptor */
#define SHUTDOWN_MS 5000   /* for connections to end what they are at */
#define EI_MAX_FDS (1u << 20)
#define SPARE_FDS 64         /* listener, epmd, what a call opens */
#define KEPT_FREE (64 << 20) /* octets, until a connection ends */
#define OWN_MEMORY (KEPT_FREE + ((uint64_t)64 << 20)) /* at start, and kept */
#define MAP_SIZE 4096 /* at most, of a handle and what belongs to it */

struct node {
	const struct options *options;
	ei_cnode ei;
	struct transport listener;
	int port;
	int signals;
	bool deaf; /* there is no descriptor for one more connection */
	struct notify notify;
	struct budget budget;
	struct service service;
};

/* --- The process -------------------------------------------------------- */

/*
 * Large messages come again while their connection stands: their memory is
 * kept. When one ends it is given back, which malloc_trim(3) can do for all of
 * it only where there is one arena.
 */
static void tune_malloc(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, KEPT_FREE / 2);
	mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
}

/*
 * ei sizes a table by the limit that it finds, so it is raised in two steps:
 * some hosts have hard limits of a thousand million.
 */
static bool raise_fd_limit_and_init_ei(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	limit.rlim_cur =
		limit.rlim_max < EI_MAX_FDS ? limit.rlim_max : EI_MAX_FDS;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || ei_init() != 0)
		return false;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* By nohup(1), and so to be: a terminal that closes ends us otherwise. */
static bool is_hangup_ignored(void)
{
	struct sigaction action;

	return sigaction(SIGHUP, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

/* What ends us before there is anything to end but the process. */
static void end_at_once(int signal)
{
	(void)signal;
	_exit(STATUS_OK);
}

static void handle_signals_of_start(void)
{
	struct sigaction at_once = { .sa_handler = end_at_once };

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &at_once, NULL);
	sigaction(SIGINT, &at_once, NULL);
	if (!is_hangup_ignored())
		sigaction(SIGHUP, &at_once, NULL);
	signal(SIGUSR1, SIG_IGN);
}

/* From here on a descriptor tells of them; threads to come inherit that. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

__attribute__((format(printf, 2, 0))) static int
log_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;

	(void)level;
	log_vlimited(&limit, LOG_DEBUG, format, arguments);
	return 0;
}

/* --- The start ---------------------------------------------------------- */

static bool get_creation(uint32_t *creation)
{
	do {
		if (getrandom(creation, sizeof(*creation), 0) !=
		    sizeof(*creation))
			return false;
	} while (*creation < 4); /* ei has a meaning of its own for these */
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
	/* by these ei would print challenges and their digests */
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
		log_error("libei could not be set up: %s", strerror(errno));
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
 * Pins need one; a node that may not mount it serves all the rest. What it
 * mounts belongs to the user that it will be.
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
	enum exit_status status =
		pin_root_open(&service->pin_root, options->pin_root);

	if (status == STATUS_OK)
		status = root_open(&service->file_root, "file-root",
				   options->file_root);
	return status;
}

static enum exit_status open_listener(struct node *node)
{
	struct in_addr address = node->options->listen;
	char text[INET_ADDRSTRLEN];

	node->port = (int)node->options->port;
	node->service.listener =
		ei_xlisten(&node->ei, &address, &node->port, BACKLOG);
	if (node->service.listener >= 0)
		return STATUS_OK;
	inet_ntop(AF_INET, &node->options->listen, text, sizeof(text));
	log_error("cannot listen on %s port %u: %s; choose others by --listen "
		  "and --port",
		  text, node->options->port, strerror(erl_errno));
	return STATUS_LISTEN;
}

/* Maps must not take the descriptors that connections need. */
static uint32_t bound_maps(const struct options *options)
{
	rlim_t needed = (rlim_t)options->max_connections +
			options->max_handshakes + SPARE_FDS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur >= needed + options->max_maps)
		return options->max_maps;
	limit.rlim_cur = limit.rlim_cur > needed ? limit.rlim_cur - needed : 1;
	log_warning("--max-maps is %u, not %u: no more than that is left of "
		    "the limit of descriptors for --max-connections %u; "
		    "raise `ulimit -Hn'",
		    (unsigned)limit.rlim_cur, options->max_maps,
		    options->max_connections);
	return (uint32_t)limit.rlim_cur;
}

static enum exit_status init_service(struct node *node)
{
	struct service *service = &node->service;
	const struct options *options = node->options;
	struct handles_limits limits = {
		.max = bound_maps(options),
		.max_per_node = options->max_maps_per_node,
		.grace = options->grace,
	};

	service->node = &node->ei;
	service->max_message = options->max_message;
	service->permissions = &options->permissions;
	service->max_waiting = options->max_waiting;
	service->ticktime = options->ticktime;
	service->handles =
		handles_new(node->ei.thisnodename, node->ei.creation, &limits);
	service->peers =
		peers_new(options->max_connections, options->max_handshakes);
	node->budget.max = options->max_memory;
	service->budget = &node->budget;
	service->map_memory = map_memory_new(options->max_map_memory);
	pin_limit_init(&service->pin_limit, options->max_pins);
	service->stats = stats_all_new();
	if (service->handles && service->peers && service->map_memory &&
	    service->stats)
		return STATUS_OK;
	log_error("no memory");
	return STATUS_OTHER;
}

/*
 * What it takes to serve as many as may be, with room for holes in the heap.
 * Who wants no limit to what is large gets none.
 */
static uint64_t most_memory(const struct options *options)
{
	uint64_t connections =
		(uint64_t)options->max_connections + options->max_handshakes;

	if (options->max_memory > UINT64_MAX / 4)
		return 0;
	return OWN_MEMORY + connections * CONNECTION_SIZE +
	       (uint64_t)options->max_maps * MAP_SIZE + 2 * options->max_memory;
}

/* What it takes to be another user or to run a program is done with then. */
static enum exit_status give_up_privileges(const struct node *node)
{
	const struct options *options = node->options;
	const struct sandbox sandbox = {
		.pin_root = node->service.pin_root.fd,
		.epmd_port = epmd_port(),
		.memory = most_memory(options),
		.open_by_id = !options->no_open_by_id,
		.off = options->no_sandbox,
	};
	enum exit_status status = privilege_change_user(&options->user);

	if (status == STATUS_OK)
		status = epmd_start();
	if (status == STATUS_OK)
		status = sandbox_enter(&sandbox);
	if (status == STATUS_OK)
		status = root_check(&node->service.pin_root, "pin-root");
	if (status == STATUS_OK)
		status = root_check(&node->service.file_root, "file-root");
	return status;
}

static enum exit_status start(struct node *node)
{
	const struct options *options = node->options;
	enum exit_status status;

	tune_malloc();
	notify_open(&node->notify);
	if (options->until_eof)
		notify_close(&node->notify); /* it is our parent's service */
	privilege_begin(!options->no_sandbox);
	libbpf_set_print(log_libbpf);
	handle_signals_of_start();
	status = epmd_check_port();
	if (status == STATUS_OK)
		status = init_ei_node(node);
	if (status == STATUS_OK)
		status = check_privilege();
	if (status == STATUS_OK) {
		mount_bpf_fs(&options->user);
		status = open_roots(node);
	}
	if (status == STATUS_OK)
		status = open_listener(node);
	if (status == STATUS_OK)
		status = init_service(node);
	if (status == STATUS_OK)
		status = give_up_privileges(node);
	if (status == STATUS_OK)
		status = epmd_publish(&node->ei, node->port);
	if (status != STATUS_OK)
		return status;
	node->signals = open_signals();
	if (node->signals < 0) {
		log_error("no descriptor for signals: %s", strerror(errno));
		return STATUS_OTHER;
	}
	return STATUS_OK;
}

/* --- Running ------------------------------------------------------------ */

/* False: it fails, for want of descriptors or so; accepting has to pause. */
static bool accept_one(struct node *node)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	int fd = accept4(node->service.listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 &&
	    (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return true;
	if ((fd < 0) != node->deaf)
		log_limited(&limit, LOG_WARNING,
			    fd < 0 ? "no connection can be accepted: %m; "
				     "whoever connects has to wait"
				   : "connections are accepted again");
	node->deaf = fd < 0;
	if (fd >= 0)
		connection_start(&node->service, fd);
	return fd >= 0;
}

static bool at_end_of_input(void)
{
	char octets[512];
	ssize_t n = read(STDIN_FILENO, octets, sizeof(octets));

	return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static int shorter(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* False: it is one that ends the node. */
static bool serve_signal(const struct node *node)
{
	struct signalfd_siginfo signal;

	if (read(node->signals, &signal, sizeof(signal)) != sizeof(signal))
		return true;
	if (signal.ssi_signo == SIGUSR1) {
		stats_log(node->service.stats, node->service.handles);
		return true;
	}
	/* what is blocked comes, ignored or not */
	if (signal.ssi_signo == SIGHUP && is_hangup_ignored())
		return true;
	log_notice("ending: signal %u (%s)", signal.ssi_signo,
		   strsignal((int)signal.ssi_signo));
	return false;
}

/* Who is slow may keep memory as long as there is some. */
static void end_slow_peers(struct node *node)
{
	if (budget_was_met(&node->budget))
		peers_end_slow(node->service.peers,
			       node->options->ticktime * INT64_C(1000));
}

/* ms until the service manager is to be told the next time, -1: never */
static int tell_manager(struct node *node)
{
	char status[NOTIFY_STATUS_SIZE];
	struct stats_report report;

	if (notify_wait(&node->notify) == 0) {
		stats_read(node->service.stats, &report);
		snprintf(status, sizeof(status),
			 "%u nodes connected, %u map handles",
			 report.connections,
			 handles_count(node->service.handles));
		notify_running(&node->notify, status);
	}
	return notify_wait(&node->notify);
}

static void run(struct node *node)
{
	enum {
		SIGNALS,
		LISTENER,
		INPUT
	};
	struct pollfd ready[] = {
		[SIGNALS] = { .fd = node->signals, .events = POLLIN },
		[LISTENER] = { .fd = node->service.listener, .events = POLLIN },
		[INPUT] = { .fd = node->options->until_eof ? STDIN_FILENO : -1,
			    .events = POLLIN },
	};
	bool accepting = true;
	int wait;

	for (;;) {
		/* in this order: who leaves has given up its handles before */
		wait = peers_tick(node->service.peers) ? BUSY_LOOK_MS : -1;
		end_slow_peers(node);
		wait = shorter(wait, handles_reap(node->service.handles));
		wait = shorter(wait, tell_manager(node));
		wait = shorter(wait, log_catch_up(false));
		if (!accepting)
			wait = shorter(wait, NO_FD_PAUSE_MS);
		ready[LISTENER].fd = accepting ? node->service.listener : -1;
		if (poll(ready, 3, wait) < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return;
		}
		if (ready[SIGNALS].revents && !serve_signal(node))
			return;
		if (ready[INPUT].revents && at_end_of_input()) {
			log_notice("ending: standard input has ended");
			return;
		}
		if (!accepting)
			accepting = true;
		else if (ready[LISTENER].revents)
			accepting = accept_one(node);
	}
}

static void stop(struct node *node)
{
	struct service *service = &node->service;

	epmd_unpublish();
	/* ei's entry stays: handshakes that still run look it up */
	if (node->listener.fd >= 0)
		close(node->listener.fd);
	map_memory_stop(service->map_memory);
	if (!service->peers || !peers_shutdown(service->peers, SHUTDOWN_MS))
		return; /* threads still use the rest; the process ends now */
	handles_free(service->handles);
	peers_free(service->peers);
	stats_all_free(service->stats);
	map_memory_free(service->map_memory);
	root_close(&service->pin_root);
	root_close(&service->file_root);
}

enum exit_status node_run(const struct options *options)
{
	static struct node node = { .listener.fd = -1,
				    .service.listener = -1,
				    .service.pin_root.fd = -1,
				    .service.file_root.fd = -1,
				    .signals = -1,
				    .notify.fd = -1 };
	enum exit_status status;

	node.options = options;
	status = start(&node);
	if (status == STATUS_OK) {
		log_notice("ready %s port %d", node.ei.thisnodename, node.port);
		run(&node);
		notify_stopping(&node.notify);
	}
	stop(&node);
	if (status == STATUS_OK) /* else the last line is why it is not */
		log_catch_up(true);
	return status;
}
