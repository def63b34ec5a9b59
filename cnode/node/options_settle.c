/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes several options to know: defaults that follow from others, and
 * options that make no sense together.
 */
#include <unistd.h>

#include "node/options.h"

#define MAX_MEMORY ((uint64_t)512 << 20)
/* a request may take: its value, and the answer while its buffer grows */
#define MESSAGE_COPIES 4

/* The default is raised to what a request may take. */
static bool settle_max_memory(struct options *options)
{
	uint64_t needed = (uint64_t)options->max_message * MESSAGE_COPIES;

	if (options->max_memory == 0)
		options->max_memory = needed > MAX_MEMORY ? needed : MAX_MEMORY;
	if (options->max_memory >= needed)
		return true;
	log_error("--max-memory %llu: a request may take %llu, %d times "
		  "--max-message; give at least that",
		  (unsigned long long)options->max_memory,
		  (unsigned long long)needed, MESSAGE_COPIES);
	return false;
}

static bool settle_programs(struct options *options)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (options->max_loads == 0)
		options->max_loads = processors < 1 ? 1
				     : processors > OPTIONS_MAX_LOADS
					     ? OPTIONS_MAX_LOADS
					     : (uint32_t)processors;
	if (options->programs == 0 ||
	    permissions_may_load(&options->permissions))
		return true;
	log_error("--programs: no node may load any: %s",
		  options->permissions.read_only
			  ? "leave out --read-only"
			  : "give the permission by --allow PATTERN=load");
	return false;
}

/* Nobody would learn of a free port. */
static bool settle_listen(struct options *options)
{
	if (options->listen_count == 0) {
		address_parse("0.0.0.0", &options->listen[0]);
		options->listen_count = 1;
	}
	if (!options->no_epmd || options->port > 0)
		return true;
	log_error("--no-epmd: without epmd no node learns of a free port; "
		  "give one by --port, and start nodes with -erl_epmd_port");
	return false;
}

static bool settle_tls(struct options *options)
{
	const char *alone = options->tls_only_1_3   ? "--tls-min 1.3"
			    : options->tls_any_name ? "--tls-names any"
			    : options->tls_or_plain ? "--tls-or-plain"
						    : NULL;

	if (!options->tls && alone) {
		log_error("%s: it takes --tls DIR", alone);
		return false;
	}
	if (options->tls)
		options->permissions.proof =
			options->tls_any_name ? PROOF_CERT : PROOF_HOST;
	return permissions_settle(&options->permissions);
}

static bool settle_keep(const struct options *options)
{
	if (!options->forget || options->keep)
		return true;
	log_error("--forget: of which folder? Give --keep DIR as well");
	return false;
}

bool options_settle(struct options *options)
{
	return settle_max_memory(options) && settle_programs(options) &&
	       settle_keep(options) && settle_listen(options) &&
	       settle_tls(options);
}
