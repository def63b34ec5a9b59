/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of before the start, from the records and pins of the state. What was
 * only half done is dropped: a pin without a record, as of a handle that was
 * never answered; or a record without its pin.
 */
#include "restore/restore.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/link.h"
#include "bpf/map.h"
#include "bpf/program.h"
#include "handles/audit.h"
#include "limits/map_memory.h"
#include "restore/kept_layouts.h"
#include "restore/kept_objects.h"

#define NODE_COPIES 2 /* one may be damaged */

/* A handle that the next start may open. */
struct left_handle {
	uint32_t random[2];
};

struct progress {
	const struct restore *restore;
	/* of the node that kept it */
	char node[MAXATOMLEN_UTF8];
	uint32_t creation;
	unsigned copies;
	unsigned handles; /* records of handles */
	unsigned maps, programs, links;
	unsigned lost;
	bool no_memory;
	struct left_handle *left;
	size_t left_count, left_capacity;
};

/* --- The node ------------------------------------------------------------- */

/* As it is in the folder; behind it is the name. */
struct node_record {
	uint8_t type; /* STATE_NODE */
	uint8_t zero;
	uint16_t name_size;
	uint32_t creation; /* in references */
};

_Static_assert(sizeof(struct node_record) == 8, "no padding");

static void read_node(struct progress *p, const void *bytes, size_t size)
{
	struct node_record record;

	if (size < sizeof(record))
		return;
	memcpy(&record, bytes, sizeof(record));
	if (size - sizeof(record) != record.name_size ||
	    record.name_size >= sizeof(p->node))
		return;
	p->creation = record.creation;
	memcpy(p->node, (const char *)bytes + sizeof(record), record.name_size);
	p->node[record.name_size] = '\0';
	p->copies++;
}

static void visit_node(uint32_t record, const void *bytes, size_t size,
		       void *context)
{
	struct progress *p = context;

	(void)record;
	if (*(const uint8_t *)bytes == STATE_NODE)
		read_node(p, bytes, size);
	p->handles += *(const uint8_t *)bytes == STATE_HANDLE;
}

static int write_node(const struct restore *restore, uint32_t creation)
{
	size_t name_size = strlen(restore->node);
	struct node_record record = { .type = STATE_NODE,
				      .name_size = (uint16_t)name_size,
				      .creation = creation };
	char bytes[sizeof(record) + MAXATOMLEN_UTF8];
	uint32_t room;
	int error =
		state_take(restore->state, sizeof(record) + name_size, &room);

	if (error < 0)
		return error;
	memcpy(bytes, &record, sizeof(record));
	memcpy(bytes + sizeof(record), restore->node, name_size);
	state_write(restore->state, room, bytes, sizeof(record) + name_size);
	return 0;
}

static enum exit_status refuse_node(const struct progress *p)
{
	log_error("--keep %s: the node %s has kept what is there, and this one "
		  "is %s: start that one, give another folder, or drop what "
		  "is kept by --forget",
		  state_path(p->restore->state), p->node, p->restore->node);
	return STATUS_USAGE;
}

/* References say which node made them, and which incarnation of it. */
static enum exit_status know_node(struct progress *p)
{
	const struct restore *restore = p->restore;
	unsigned copies = p->copies;
	int error = 0;

	if (copies > 0 && strcmp(p->node, restore->node) != 0)
		return refuse_node(p);
	if (copies == 0)
		p->creation = restore->creation;
	for (; copies < NODE_COPIES && error == 0; copies++)
		error = write_node(restore, p->creation);
	/* what is kept without it could not be told whose it is */
	if (error < 0 && copies <= 1)
		state_give_up(restore->state, "its node cannot be recorded",
			      error);
	handles_restore_begin(restore->handles, p->creation);
	return STATUS_OK;
}

/* --- Handles -------------------------------------------------------------- */

static void drop(struct progress *p, uint32_t record, const char *why)
{
	log_warning("--keep %s: record %u is dropped: %s",
		    state_path(p->restore->state), record, why);
	state_drop(p->restore->state, record);
	p->lost++;
}

static void audit_drop(const struct handles_kept *kept,
		       const struct resource_kind *kind)
{
	const struct audit audit = {
		.event = "handle_ended",
		.kind = kind->name,
		.id = kept->id,
		.handle = kept->slot,
		.lifetime = kept->shared ? "shared"
					 : handles_lifetimes[kept->lifetime],
		.owner = kept->owner[0] ? kept->owner : NULL,
		.reason = "not_restored",
	};

	if (audit_is_on())
		audit_log(&audit);
}

static void drop_handle(struct progress *p, const struct handles_kept *kept,
			const struct resource_kind *kind, const char *why)
{
	log_warning("--keep %s: %s %u of %s is not back: %s; its handle is "
		    "dropped",
		    state_path(p->restore->state), kind->name, kept->id,
		    kept->owner[0] ? kept->owner : "several nodes", why);
	audit_drop(kept, kind);
	state_drop(p->restore->state, kept->record);
	p->lost++;
}

static int compare_left(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct left_handle));
}

static int note_left(struct progress *p, const struct handles_kept *kept)
{
	size_t capacity = p->left_capacity > 0 ? 2 * p->left_capacity : 64;
	struct left_handle *left = p->left;

	if (p->left_count == p->left_capacity) {
		left = realloc(left, capacity * sizeof(*left));
		if (!left)
			return -ENOMEM;
		p->left = left;
		p->left_capacity = capacity;
	}
	memcpy(left[p->left_count++].random, kept->random,
	       sizeof(kept->random));
	return 0;
}

/* Not yet sorted; it is rarely asked. */
static bool was_left(const struct progress *p, const struct handles_kept *kept)
{
	for (size_t i = 0; i < p->left_count; i++)
		if (memcmp(p->left[i].random, kept->random,
			   sizeof(kept->random)) == 0)
			return true;
	return false;
}

/* The next start may do better: nobody gets its reference until then. */
static void leave(struct progress *p, const struct handles_kept *kept,
		  const struct resource_kind *kind, int error)
{
	log_warning("--keep %s: %s %u of %s is not back: %s; it stays in the "
		    "folder for the next start, or until --forget",
		    state_path(p->restore->state), kind->name, kept->id,
		    kept->owner[0] ? kept->owner : "several nodes",
		    strerror(-error));
	if (kept->part > 0)
		state_share_again(p->restore->state, kept->part);
	if (kind == &map_kind)
		map_memory_spare(p->restore->map_memory, kept->id);
	if (handles_restore_reserve(p->restore->handles, kept, kind->class) <
		    0 ||
	    note_left(p, kept) < 0)
		log_error("out of memory");
}

/* Of this process or host as it is now, and not of what is kept. */
static bool may_pass(int error)
{
	return error != -EBADMSG && error != -EINVAL && error != -E2BIG &&
	       error != -ENOENT;
}

/* The pins of one that is dropped are not claimed, or removed at once. */
static bool claim(struct progress *p, const struct handles_kept *kept)
{
	struct state_pin pin = kept->pin;
	bool all = true;

	for (; pin.number < kept->pins; pin.number++)
		all &= state_claim(p->restore->state, &pin);
	return all;
}

static void unpin(const struct progress *p, const struct handles_kept *kept)
{
	struct state_pin pin = kept->pin;

	for (; pin.number < kept->pins; pin.number++)
		state_unpin(p->restore->state, &pin);
}

static bool is_term(const char *bytes, size_t size)
{
	return size > 0 && term_check(bytes, size) == (ssize_t)size;
}

/* It is asked for again at that node, so it must be one of it. */
static bool is_process_of_owner(const struct handles_kept *kept)
{
	const struct term process = { kept->process, kept->process_size };
	const char *node;
	size_t size;

	return kept->lifetime != HANDLES_PROCESS ||
	       (is_term(process.at, process.size) && term_is_pid(process) &&
		term_read_pid_node(process, &node, &size) &&
		size == strlen(kept->owner) &&
		memcmp(node, kept->owner, size) == 0);
}

static bool is_whole(const struct handles_kept *kept)
{
	return is_term(kept->description, kept->description_size) &&
	       is_process_of_owner(kept) &&
	       (kept->shared ||
		term_is_node_name(kept->owner, strlen(kept->owner)));
}

static void count(struct progress *p, const struct resource *resource)
{
	p->maps += resource->kind == &map_kind;
	p->programs += resource->kind == &program_kind;
	p->links += resource->kind == &link_kind;
}

static void settle(struct progress *p, const struct handles_kept *kept,
		   const struct resource_kind *kind, struct resource *resource)
{
	int result = handles_restore(p->restore->handles, kept, resource);

	if (result == 0) {
		count(p, resource);
		if (kept->part > 0)
			state_share_again(p->restore->state, kept->part);
		return;
	}
	resource_unref(resource);
	/* another record of the same handle */
	if (result > 0 || (result == -EEXIST && was_left(p, kept)))
		return;
	if (result != -EEXIST) {
		leave(p, kept, kind, result);
		return;
	}
	unpin(p, kept);
	drop_handle(p, kept, kind, "another has its reference");
}

/* Descriptors for connections are not for what is kept. */
static int open_object(const struct progress *p,
		       const struct handles_kept *kept,
		       struct resource **resource)
{
	int error = kept_objects_open(p->restore, kept, resource);

	if (error < 0 || (*resource)->fd <= p->restore->last_fd)
		return error;
	resource_unref(*resource);
	return -EMFILE;
}

static void restore_handle(struct progress *p, const struct handles_kept *kept)
{
	const struct term description = { kept->description,
					  kept->description_size };
	const struct resource_kind *kind = kept_objects_kind(description);
	struct resource *resource;
	int error;

	if (!kind) {
		drop(p, kept->record, "it is of no kind that is known");
		return;
	}
	if (kept->pins == 0) {
		drop_handle(p, kept, kind,
			    "it is no kernel link, and ended with the process "
			    "that had made it");
		return;
	}
	if (!claim(p, kept)) {
		unpin(p, kept);
		drop_handle(p, kept, kind, "its pin is missing");
		return;
	}
	error = open_object(p, kept, &resource);
	if (error == 0) {
		settle(p, kept, kind, resource);
	} else if (may_pass(error)) {
		leave(p, kept, kind, error);
	} else {
		unpin(p, kept);
		drop_handle(p, kept, kind,
			    error == -EINVAL ? "its pin is of another object"
					     : strerror(-error));
	}
}

static void visit_handle(uint32_t record, const void *bytes, size_t size,
			 void *context)
{
	struct handles_kept kept = { .record = record };
	struct progress *p = context;

	if (*(const uint8_t *)bytes != STATE_HANDLE)
		return;
	if (p->copies == 0)
		drop(p, record, "it is not known which node has kept it");
	else if (handles_read_kept(bytes, size, &kept) && is_whole(&kept))
		restore_handle(p, &kept);
	else
		drop(p, record, "it is no handle that is known");
}

/* --- The rest ------------------------------------------------------------- */

static void visit_charge(uint32_t record, const void *bytes, size_t size,
			 void *context)
{
	const struct progress *p = context;

	if (*(const uint8_t *)bytes == STATE_CHARGE &&
	    map_memory_restore(p->restore->map_memory, record, bytes, size) < 0)
		state_drop(p->restore->state, record);
}

static void visit_part(uint32_t record, const void *bytes, size_t size,
		       void *context)
{
	struct progress *p = context;
	const struct term pair = { (const char *)bytes + 1, size - 1 };

	if (*(const uint8_t *)bytes != STATE_PART)
		return;
	if (!is_term(pair.at, pair.size)) {
		drop(p, record, "it is no part that is known");
	} else if (state_shared_found(p->restore->state, record, bytes, size) <
			   0 ||
		   kept_layouts_add(p->restore->layouts, record, pair) < 0) {
		p->no_memory = true;
	}
}

static bool is_of_left(const struct progress *p,
		       const struct handles_kept *kept)
{
	struct left_handle left;

	memcpy(left.random, kept->random, sizeof(left.random));
	return p->left_count > 0 && bsearch(&left, p->left, p->left_count,
					    sizeof(left), compare_left);
}

/* One of a handle that has ended goes with it. */
static void visit_holding(uint32_t record, const void *bytes, size_t size,
			  void *context)
{
	struct handles_kept kept = { .record = record };
	const struct progress *p = context;
	int error;

	if (*(const uint8_t *)bytes != STATE_HOLDING)
		return;
	error = handles_read_holding(bytes, size, &kept) &&
				term_is_node_name(kept.owner,
						  strlen(kept.owner))
			? handles_restore_holding(p->restore->handles, &kept)
			: -EBADMSG;
	if (error < 0 && error != -ENOMEM && !is_of_left(p, &kept))
		state_drop(p->restore->state, record);
}

/* One of an owner without handles goes; it may have some that were left. */
static void visit_owner(uint32_t record, const void *bytes, size_t size,
			void *context)
{
	const struct progress *p = context;
	int error;

	if (*(const uint8_t *)bytes != STATE_OWNER)
		return;
	error = handles_restore_owner(p->restore->handles, record, bytes, size);
	if (error == -EBADMSG || error == -EEXIST ||
	    (error == -ENOENT && p->left_count == 0))
		state_drop(p->restore->state, record);
}

/* Of a later type than there is in this version, or of none. */
static void visit_unknown(uint32_t record, const void *bytes, size_t size,
			  void *context)
{
	uint8_t type = *(const uint8_t *)bytes;

	(void)size;
	if (type < STATE_NODE || type > STATE_OWNER)
		drop(context, record, "it is of no type that is known");
}

static void log_removed(const struct progress *p, uint32_t removed)
{
	const char *path = state_path(p->restore->state);

	if (removed > 0 && p->handles == 0)
		log_warning("--keep %s: removed %u pins, of which there are no "
			    "records: somebody else has removed these",
			    path, removed);
	else if (removed > 0)
		log_notice("--keep %s: removed %u pins of what was half done",
			   path, removed);
}

static void log_restored(const struct progress *p, uint32_t owners)
{
	const char *path = state_path(p->restore->state);
	struct log_fields fields;

	if (p->handles == 0) {
		log_info("--keep %s: nothing is kept there yet", path);
		return;
	}
	log_fields_start(&fields, "restored", NULL);
	log_fields_text(&fields, "path", path);
	log_fields_number(&fields, "maps", p->maps);
	log_fields_number(&fields, "programs", p->programs);
	log_fields_number(&fields, "links", p->links);
	log_fields_number(&fields, "nodes", owners);
	log_fields_number(&fields, "dropped", p->lost);
	log_fields_number(&fields, "left", (unsigned)p->left_count);
	log_event_with(&fields, LOG_NOTICE,
		       "back from %s: %u maps, %u programs, %u links, of %u "
		       "nodes; %u dropped, %u left for later",
		       path, p->maps, p->programs, p->links, owners, p->lost,
		       (unsigned)p->left_count);
}

static int restore_records(struct progress *p)
{
	static const state_visitor visits[] = { visit_unknown, visit_charge,
						visit_part, visit_handle };
	struct state *state = p->restore->state;
	int error = 0;

	for (size_t i = 0; i < sizeof(visits) / sizeof(visits[0]); i++)
		if (error == 0)
			error = state_each(state, visits[i], p);
	if (p->left_count > 0)
		qsort(p->left, p->left_count, sizeof(*p->left), compare_left);
	if (error == 0)
		error = state_each(state, visit_holding, p);
	if (error == 0)
		error = state_each(state, visit_owner, p);
	return p->no_memory ? -ENOMEM : error;
}

static enum exit_status restore_known(struct progress *p)
{
	struct state *state = p->restore->state;
	uint32_t owners;

	if (restore_records(p) < 0) {
		log_error("out of memory");
		return STATUS_OTHER;
	}
	map_memory_keep(p->restore->map_memory, state);
	owners = handles_restored(p->restore->handles);
	state_drop_unshared(state);
	log_removed(p, state_unpin_rest(state));
	log_restored(p, owners);
	return STATUS_OK;
}

static enum exit_status restore_with(struct progress *p)
{
	enum exit_status status;

	if (!p->restore->layouts ||
	    state_each(p->restore->state, visit_node, p) < 0) {
		log_error("out of memory");
		return STATUS_OTHER;
	}
	status = know_node(p);
	return status == STATUS_OK ? restore_known(p) : status;
}

enum exit_status restore_all(const struct restore *restore)
{
	const struct handles_keeper keeper = {
		.state = restore->state,
		.describe = kept_objects_describe,
	};
	struct restore with = *restore;
	struct progress p = { .restore = &with };
	enum exit_status status;

	handles_keep_in(restore->handles, &keeper);
	if (state_error(restore->state) < 0)
		return STATUS_OK; /* it was logged; new ones are refused */
	with.layouts = kept_layouts_new(restore->budget);
	status = restore_with(&p);
	kept_layouts_free(with.layouts);
	free(p.left);
	return status;
}

/* --- Forgetting ----------------------------------------------------------- */

/* 0 or -errno; it is closed by resource_unref(). */
static int open_any(const char *path, struct resource **resource)
{
	struct map *map = NULL;
	struct program *program = NULL;
	struct link *link = NULL;

	if (map_open_pinned(path, BPF_F_RDONLY, &map) == 0)
		*resource = &map->resource;
	else if (program_open_pinned(path, &program) == 0)
		*resource = &program->resource;
	else if (link_open_pinned(path, &link) == 0)
		*resource = &link->resource;
	else
		return -EINVAL;
	return 0;
}

static void log_object(const struct resource *resource)
{
	const struct link *link = resource->kind == &link_kind
					  ? (const struct link *)resource
					  : NULL;
	struct resource_text text;

	resource->kind->describe(resource, &text);
	if (link)
		log_notice("dropped %s %u %s, of program %u",
			   resource->kind->name, resource->id, text.type,
			   link->program_id);
	else
		log_notice("dropped %s %u %s \"%s\"", resource->kind->name,
			   resource->id, text.type, text.name);
}

void restore_log_forgotten(const char *path, void *context)
{
	struct resource *resource;

	(void)context;
	if (open_any(path, &resource) < 0) {
		log_notice("dropped %s, which cannot be opened",
			   strrchr(path, '/') + 1);
		return;
	}
	log_object(resource);
	resource_unref(resource);
}
