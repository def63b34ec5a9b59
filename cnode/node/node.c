/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main loop: accepts connections, ends connections and handles whose time
 * is up, and waits for signals.
 */
#include "node/node_internal.h"

#include <bpf/btf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "dist/epmd.h"
#include "events/events.h"
#include "limits/map_memory.h"
#include "loader/loader.h"
#include "node/signals.h"
#include "node/stats_log.h"

#define BUSY_TICK_MS 500   /* between two peers_tick() while peers are busy */
#define NO_FD_PAUSE_MS 100 /* before accepting again without descriptors */
#define SHUTDOWN_MS 5000   /* for connections to finish their requests */

/* False if it fails, mostly for lack of descriptors; accepting has to pause. */
static bool accept_one(struct node *node, int listener)
{
	static struct log_limit limit = LOG_LIMIT_INITIALIZER;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 &&
	    (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return true;
	if ((fd < 0) != node->accept_paused)
		log_limited(&limit, LOG_WARNING,
			    fd < 0 ? "no connection can be accepted: %m; "
				     "clients wait in the backlog"
				   : "connections are accepted again");
	node->accept_paused = fd < 0;
	if (fd >= 0)
		connection_start(&node->service, fd);
	return fd >= 0;
}

static bool at_end_of_input(void)
{
	char bytes[512];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static void log_end_of_input(void)
{
	struct log_fields fields;

	log_fields_start(&fields, "ending", NULL);
	log_event_with(&fields, LOG_NOTICE, "ending: standard input has ended");
}

static int shorter(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void reload(const struct node *node)
{
	if (!node->tls)
		log_notice("there is nothing to read anew without --tls");
	else
		tls_reload(node->tls);
}

/* ms until there is more to do; -1: never */
static int look_at_certificates(const struct node *node)
{
	int wait;

	if (!node->tls)
		return -1;
	tls_look(node->tls);
	wait = peers_end_expired(node->service.peers, node->tls);
	return shorter(wait, tls_look_wait(node->tls));
}

/* False for a signal that ends the node. */
static bool serve_signal(const struct node *node)
{
	struct signalfd_siginfo signal;
	struct log_fields fields;

	if (read(node->signals, &signal, sizeof(signal)) != sizeof(signal))
		return true;
	if (signal.ssi_signo == SIGHUP && !signals_ends(SIGHUP)) {
		reload(node);
		return true;
	}
	if (!signals_ends(signal.ssi_signo)) {
		stats_log(node->service.common.stats,
			  node->service.common.handles);
		return true;
	}
	log_fields_start(&fields, "ending", NULL);
	log_event_with(&fields, LOG_NOTICE, "ending: signal %u (%s)",
		       signal.ssi_signo, strsignal((int)signal.ssi_signo));
	return false;
}

/* Slow peers may keep memory until others need it. */
static void end_slow_peers(struct node *node)
{
	if (budget_was_exceeded(&node->budget))
		peers_end_slow(node->service.peers,
			       node->options->ticktime * INT64_C(1000));
}

/* ms until the next message to the service manager; -1: never */
static int notify_manager(struct node *node)
{
	char status[NOTIFY_STATUS_SIZE];
	struct stats_report report;

	if (notify_wait(&node->notify) == 0) {
		stats_read(node->service.common.stats, &report);
		snprintf(status, sizeof(status),
			 "%u nodes connected, %u map handles",
			 report.connections,
			 handles_count(node->service.common.handles));
		notify_running(&node->notify, status);
	}
	return notify_wait(&node->notify);
}

/* What the loop waits for: no more than there is, as poll(2) counts. */
struct ready {
	struct pollfd polls[3 + LISTENERS_MAX];
	unsigned count;
	struct pollfd *signals;
	struct pollfd *input;     /* NULL: it is not waited for */
	struct pollfd *loader;    /* for its end; NULL: the same */
	struct pollfd *listeners; /* from there on */
};

static struct pollfd *add(struct ready *ready, int fd, short events)
{
	struct pollfd *poll = &ready->polls[ready->count];

	if (fd < 0)
		return NULL;
	*poll = (struct pollfd){ .fd = fd, .events = events };
	ready->count++;
	return poll;
}

static void fill(struct ready *ready, const struct node *node, bool accepting)
{
	ready->count = 0;
	ready->signals = add(ready, node->signals, POLLIN);
	ready->input = add(ready, node->options->until_eof ? STDIN_FILENO : -1,
			   POLLIN);
	ready->loader = add(ready, loader_fd(node->service.common.loader), 0);
	ready->listeners = &ready->polls[ready->count];
	for (unsigned i = 0; accepting && i < node->listeners.count; i++)
		add(ready, node->listeners.fds[i], POLLIN);
}

static bool is_ready(const struct pollfd *poll)
{
	return poll && poll->revents;
}

/* False: accepting has to pause. */
static bool accept_all(struct node *node, const struct ready *ready)
{
	const struct pollfd *end = ready->polls + ready->count;

	for (const struct pollfd *poll = ready->listeners; poll < end; poll++)
		if (is_ready(poll) && !accept_one(node, poll->fd))
			return false;
	return true;
}

/* The ms until there is more to do, -1: whenever something comes. */
static int work(struct node *node, bool accepting)
{
	/* in this order: a node that leaves has given up its handles */
	int wait = peers_tick(node->service.peers) ? BUSY_TICK_MS : -1;

	end_slow_peers(node);
	wait = shorter(wait, handles_reap(node->service.common.handles));
	wait = shorter(wait, handles_end_idle(node->service.common.handles));
	wait = shorter(wait, notify_manager(node));
	wait = shorter(wait, look_at_certificates(node));
	wait = shorter(wait, log_catch_up(false));
	return accepting ? wait : shorter(wait, NO_FD_PAUSE_MS);
}

/* False: the node is to end. */
static bool serve_ready(struct node *node, const struct ready *ready)
{
	if (is_ready(ready->signals) && !serve_signal(node))
		return false;
	if (is_ready(ready->input) && at_end_of_input()) {
		log_end_of_input();
		return false;
	}
	if (is_ready(ready->loader))
		loader_is_there(node->service.common.loader);
	return true;
}

static void run(struct node *node)
{
	struct ready ready;
	bool accepting = true;
	int wait;

	for (;;) {
		wait = work(node, accepting);
		fill(&ready, node, accepting);
		if (poll(ready.polls, ready.count, wait) < 0 &&
		    errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return;
		}
		if (!serve_ready(node, &ready))
			return;
		accepting = accept_all(node, &ready);
	}
}

static void stop(struct node *node)
{
	struct service *service = &node->service;

	epmd_unpublish();
	/* ei's entry stays: handshakes that still run look it up */
	listeners_close(&node->listeners);
	map_memory_stop(service->common.map_memory);
	events_stop(service->common.events);
	if (!service->peers || !peers_shutdown(service->peers, SHUTDOWN_MS))
		return; /* threads still use the rest; the process exits anyway
			 */
	if (service->common.map_memory) /* what is kept is charged on */
		map_memory_keep(service->common.map_memory, NULL);
	handles_free(service->common.handles);
	events_free(service->common.events);
	peers_free(service->peers);
	stats_all_free(service->common.stats);
	map_memory_free(service->common.map_memory);
	state_close(node->state);
	tls_close(node->tls);
	root_close(&service->common.pin_root);
	root_close(&service->common.file_root);
	root_close(&service->common.netns_root);
	btf__free(service->common.vmlinux);
	if (service->common.cgroups >= 0)
		close(service->common.cgroups);
	if (service->common.own_netns >= 0)
		close(service->common.own_netns);
	loader_stop(service->common.loader);
}

static void log_ready(const struct node *node)
{
	struct log_fields fields;

	log_fields_start(&fields, "ready", NULL);
	log_fields_text(&fields, "node", node->ei.thisnodename);
	log_fields_number(&fields, "port", (unsigned)node->port);
	log_event_with(&fields, LOG_NOTICE, "ready %s port %d",
		       node->ei.thisnodename, node->port);
}

enum exit_status node_run(const struct options *options)
{
	static struct node node = { .service.listener = -1,
				    .service.common.pin_root.fd = -1,
				    .service.common.file_root.fd = -1,
				    .service.common.netns_root.fd = -1,
				    .service.common.cgroups = -1,
				    .service.common.own_netns = -1,
				    .signals = -1,
				    .notify.fd = -1 };
	enum exit_status status;

	node.options = options;
	status = node_start(&node);
	if (status == STATUS_OK) {
		log_ready(&node);
		run(&node);
		notify_stopping(&node.notify);
		handles_stop(node.service.common.handles);
	}
	stop(&node);
	if (status == STATUS_OK) /* otherwise the error stays the last line */
		log_catch_up(true);
	return status;
}
