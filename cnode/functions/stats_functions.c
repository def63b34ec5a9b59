/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts since this node started, for all callers together:
 *
 *	stats() -> #{uptime => Milliseconds, connections => N, refused => N,
 *	             handles => N, loader => none | running | gone,
 *	             bytes => #{in => N, out => N},
 *	             requests => #{{Function, Arity} of ebpf_maps
 *	                           | {Module, Function, Arity} => N},
 *	             errors => #{Reason => N},
 *	             latency => [{LessThanNanoseconds, N}]}
 *
 * The last three leave out zero counts. With --tls there is one more:
 *
 *	nodes => #{Node => #{tls => 'tlsv1.3' | 'tlsv1.2' | none,
 *	                     names => [Binary]}}
 */
#include "call/descriptions.h"
#include "functions/functions.h"
#include "functions/handlers.h"
#include "loader/loader.h"

static void write_bytes(struct term_writer *w, const struct stats *sum)
{
	size_t map = term_write_map_open(w);

	term_write_entry(w, "in", sum->bytes_in);
	term_write_entry(w, "out", sum->bytes_out);
	term_write_map_close(w, map, 2);
}

static void write_function(struct term_writer *w,
			   const struct function_name *function)
{
	bool with_module = functions_needs_module(function);

	term_write_tuple(w, with_module ? 3 : 2);
	if (with_module)
		term_write_atom(w, function->module);
	term_write_entry(w, function->name, function->arity);
}

static void write_requests(struct term_writer *w, const struct stats *sum)
{
	size_t map = term_write_map_open(w);
	struct function_name function;
	uint32_t n = 0;

	for (size_t i = 0; functions_name(i, &function); i++) {
		if (sum->requests[i] == 0)
			continue;
		write_function(w, &function);
		term_write_uint(w, sum->requests[i]);
		n++;
	}
	term_write_map_close(w, map, n);
}

static void write_errors(struct term_writer *w, const struct stats *sum)
{
	size_t map = term_write_map_open(w);
	char buffer[POSIX_NAME_SIZE];
	uint32_t n = 0;

	for (size_t i = 0; i < STATS_ERRORS; i++) {
		if (sum->errors[i] == 0)
			continue;
		term_write_entry(w, raise_error_name(i, buffer),
				 sum->errors[i]);
		n++;
	}
	term_write_map_close(w, map, n);
}

static void write_latencies(struct term_writer *w, const struct stats *sum)
{
	size_t list = term_write_list_open(w);
	uint32_t n = 0;

	for (size_t i = 0; i < STATS_LATENCIES; i++) {
		if (sum->latencies[i] == 0)
			continue;
		term_write_tuple(w, 2);
		term_write_uint(w, (uint64_t)1 << i);
		term_write_uint(w, sum->latencies[i]);
		n++;
	}
	term_write_list_close(w, list, n);
}

#define MOST_OF_EACH 1024 /* bytes of names, for each node */

struct listing {
	struct term_writer *w;
	uint32_t count;
};

static void write_node(const struct handles_node *node, void *context)
{
	struct listing *listing = context;

	term_write_atom(listing->w, node->name);
	descriptions_write_proof(listing->w, node, MOST_OF_EACH);
	listing->count++;
}

static void write_nodes(struct term_writer *w, struct handles *handles)
{
	struct listing listing = { .w = w };
	size_t map;

	term_write_atom(w, "nodes");
	map = term_write_map_open(w);
	handles_each_owner(handles, write_node, &listing);
	term_write_map_close(w, map, listing.count);
}

static const char *state_of(struct loader *loader)
{
	if (!loader)
		return "none";
	return loader_is_there(loader) ? "running" : "gone";
}

bool stats_functions_stats(struct call *call)
{
	struct term_writer *w = call->out;
	size_t map = term_write_map_open(w);
	struct stats_report report;

	stats_read(call->context->common->stats, &report);
	term_write_entry(w, "uptime", (uint64_t)report.uptime);
	term_write_entry(w, "connections", report.connections);
	term_write_entry(w, "refused", report.refused);
	term_write_entry(w, "handles",
			 handles_count(call->context->common->handles));
	term_write_atom(w, "loader");
	term_write_atom(w, state_of(call->context->common->loader));
	term_write_atom(w, "bytes");
	write_bytes(w, &report.sum);
	term_write_atom(w, "requests");
	write_requests(w, &report.sum);
	term_write_atom(w, "errors");
	write_errors(w, &report.sum);
	term_write_atom(w, "latency");
	write_latencies(w, &report.sum);
	if (call->context->common->options.tls)
		write_nodes(w, call->context->common->handles);
	term_write_map_close(w, map, 9 + call->context->common->options.tls);
	return true;
}
