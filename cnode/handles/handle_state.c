/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of handles over a restart: a pin of the object, made before the
 * handle is, and a record, written with it. What is needed to open the object
 * again is in the record as well, but only the keeper reads that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "handles/handles_internal.h"

/* Both are as they are in the folder; numbers are this machine's. */
struct handle_record {
	uint8_t type; /* STATE_HANDLE */
	uint8_t lifetime;
	uint8_t flags;
	uint8_t zero;
	uint32_t slot;
	uint32_t random[2];
	uint32_t id; /* of the object */
	uint32_t pins;
	uint32_t part;       /* a record of STATE_PART; 0: none */
	uint32_t creation;   /* of the owner; permanent: 0 */
	uint16_t owner_size; /* its name, or that of the creator; shared: 0 */
	uint16_t process_size;
	uint32_t description_size;
};

enum record_flag {
	RECORD_SHARED = 1,
	RECORD_TAKEN_OUT = 2, /* shared, and not idle: handles_keep() */
};

struct holding_record {
	uint8_t type; /* STATE_HOLDING */
	uint8_t zero;
	uint16_t owner_size;
	uint32_t slot; /* of the handle */
	uint32_t random[2];
	uint32_t creation;
};

_Static_assert(sizeof(struct handle_record) == 40, "no padding");
_Static_assert(sizeof(struct holding_record) == 20, "no padding");

static struct state *state_of(const struct handles *h)
{
	return h->keeper.state;
}

static uint64_t random_of(const uint32_t random[2])
{
	return (uint64_t)random[0] << 32 | random[1];
}

/* --- Writing -------------------------------------------------------------- */

static void *append(void *at, const void *bytes, size_t size)
{
	if (size > 0)
		memcpy(at, bytes, size);
	return (char *)at + size;
}

/* A shared handle has no owner: those that hold it have records of their own.
 */
static int fill(struct kept_room *room, const struct handle *handle,
		const struct handles_owner *owner,
		const struct handles_description *description)
{
	const char *name = owner ? owner->holder->node : "";
	bool ends = handle->lifetime != HANDLES_PERMANENT;
	struct handle_record record = {
		.type = STATE_HANDLE,
		.lifetime = (uint8_t)handle->lifetime,
		.flags = handle->shared ? RECORD_SHARED : 0,
		.random = { handle->random[0], handle->random[1] },
		.id = handle->resource->id,
		.pins = handle->pins,
		.part = handle->part,
		.creation = owner && ends ? owner->creation : 0,
		.owner_size = (uint16_t)strlen(name),
		.process_size = (uint16_t)handle->process_size,
		.description_size = (uint32_t)description->size,
	};
	void *at;

	room->size = sizeof(record) + record.owner_size + handle->process_size +
		     description->size;
	room->bytes = malloc(room->size);
	if (!room->bytes || handle->process_size > UINT16_MAX)
		return -ENOMEM;
	at = append(room->bytes, &record, sizeof(record));
	at = append(at, name, record.owner_size);
	at = append(at, handle->process, handle->process_size);
	append(at, description->bytes, description->size);
	return 0;
}

static void unpin(const struct handles *h, const struct handle *handle,
		  uint32_t pins)
{
	struct state_pin pin = { .random = random_of(handle->random) };
	int error;

	for (; pin.number < pins; pin.number++) {
		error = state_unpin(state_of(h), &pin);
		if (error < 0)
			log_warning("--keep %s: h%016llx cannot be removed: %s",
				    state_path(state_of(h)),
				    (unsigned long long)pin.random,
				    strerror(-error));
	}
}

static int pin_all(const struct handles *h, const struct handle *handle,
		   const struct handles_description *description)
{
	struct state_pin pin = { .random = random_of(handle->random) };
	int error = 0;

	for (; pin.number < handle->pins; pin.number++) {
		error = state_pin(state_of(h),
				  pin.number == 0
					  ? handle->resource->fd
					  : description->more[pin.number - 1],
				  &pin);
		if (error < 0)
			break;
	}
	if (error < 0)
		unpin(h, handle, pin.number);
	return error;
}

static void free_room(struct kept_room *room)
{
	free(room->bytes);
	*room = (struct kept_room){ .bytes = NULL };
}

static void give_part_up(const struct handles *h, struct handle *handle)
{
	if (handle->part > 0)
		state_unshare(state_of(h), handle->part);
	handle->part = 0;
}

static int take_described(struct handles *h, struct handle *new,
			  const struct handles_owner *owner,
			  const struct handles_description *description,
			  struct kept_room *room)
{
	int error = 0;

	new->pins = description->pins ? 1 + description->more_count : 0;
	if (description->part)
		error = state_share(state_of(h), description->part,
				    description->part_size, &new->part);
	if (error == 0)
		error = fill(room, new, owner, description);
	if (error == 0)
		error = state_take(state_of(h), room->size, &room->record);
	if (error == 0 && !room->pinned) {
		error = pin_all(h, new, description);
		if (error < 0)
			state_drop(state_of(h), room->record);
	}
	if (error < 0) {
		give_part_up(h, new);
		free_room(room);
	}
	return error;
}

static int take(struct handles *h, struct handle *new,
		const struct handles_owner *owner, struct kept_room *room)
{
	struct handles_description description = { .bytes = NULL };
	int error;

	if (!state_of(h))
		return 0;
	error = h->keeper.describe(new->resource, &description);
	if (error == 0)
		error = take_described(h, new, owner, &description, room);
	free(description.bytes);
	free(description.part);
	return error;
}

int handle_state_take(struct handles *h, struct handle *new,
		      const struct handles_owner *owner, struct kept_room *room)
{
	*room = (struct kept_room){ .pinned = false };
	if (state_of(h) && owner && owner->unkept < 0)
		return owner->unkept;
	return take(h, new, new->shared ? NULL : owner, room);
}

void handle_state_write(struct handles *h, struct handle *handle,
			struct kept_room *room)
{
	if (!room->bytes)
		return;
	memcpy(room->bytes + offsetof(struct handle_record, slot),
	       &handle->slot, sizeof(handle->slot));
	state_write(state_of(h), room->record, room->bytes, room->size);
	handle->record = room->record;
	free_room(room);
}

void handle_state_settle(const struct handles *h, struct handle *new,
			 struct kept_room *room)
{
	if (!room->bytes)
		return;
	state_drop(state_of(h), room->record);
	if (!room->pinned) {
		unpin(h, new, new->pins);
		give_part_up(h, new);
	}
	free_room(room);
}

/* --- Shared handles ------------------------------------------------------- */

int handle_state_take_holding(struct handles *h,
			      const struct handles_owner *owner,
			      struct kept_room *room)
{
	struct holding_record record = {
		.type = STATE_HOLDING,
		.owner_size = (uint16_t)strlen(owner->holder->node),
		.creation = owner->creation,
	};
	int error;

	*room = (struct kept_room){ .pinned = true };
	if (!state_of(h))
		return 0;
	if (owner->unkept < 0)
		return owner->unkept;
	room->size = sizeof(record) + record.owner_size;
	room->bytes = malloc(room->size);
	if (!room->bytes)
		return -ENOMEM;
	append(append(room->bytes, &record, sizeof(record)),
	       owner->holder->node, record.owner_size);
	error = state_take(state_of(h), room->size, &room->record);
	if (error < 0)
		free_room(room);
	return error;
}

void handle_state_write_holding(struct handles *h, struct holding *holding,
				struct kept_room *room)
{
	if (!room->bytes)
		return;
	memcpy(room->bytes + offsetof(struct holding_record, slot),
	       &holding->handle->slot, sizeof(holding->handle->slot));
	memcpy(room->bytes + offsetof(struct holding_record, random),
	       holding->handle->random, sizeof(holding->handle->random));
	state_write(state_of(h), room->record, room->bytes, room->size);
	holding->record = room->record;
	free_room(room);
}

int handle_state_take_again(struct handles *h, const struct handle *copy,
			    struct kept_room *room)
{
	struct handle same = *copy;
	int error;

	*room = (struct kept_room){ .pinned = true };
	error = take(h, &same, NULL, room);
	if (room->bytes)
		room->bytes[offsetof(struct handle_record, flags)] |=
			RECORD_TAKEN_OUT;
	return error;
}

void handle_state_write_again(struct handles *h, struct handle *handle,
			      struct kept_room *room)
{
	uint32_t before = handle->record;

	if (!room->bytes)
		return;
	handle_state_write(h, handle, room);
	if (before > 0)
		state_drop(state_of(h), before);
}

/* --- Ending --------------------------------------------------------------- */

void handle_state_end(const struct handles *h, struct handle *handle)
{
	if (!state_of(h))
		return;
	if (handle->record > 0)
		state_drop(state_of(h), handle->record);
	handle->record = 0;
	give_part_up(h, handle);
}

void handle_state_end_holding(const struct handles *h, struct holding *holding)
{
	if (state_of(h) && holding->record > 0)
		state_drop(state_of(h), holding->record);
	holding->record = 0;
}

void handle_state_unpin(const struct handles *h, const struct handle *handle)
{
	if (state_of(h))
		unpin(h, handle, handle->pins);
}

/* What has no pin ends with this process. */
static void leave(const struct handles *h, struct handle *handle)
{
	if (handle->pins > 0 || !h->stopping)
		return;
	log_notice("%s %u is no kernel link, and cannot be kept: it ends with "
		   "this process",
		   handle->resource->kind->name, handle->resource->id);
	handle_state_end(h, handle);
}

bool handle_state_leave(struct handles *h)
{
	uint32_t kept = 0;

	if (!state_of(h))
		return false;
	for (uint32_t slot = 0; slot < h->table.slots; slot++) {
		if (!h->table.table[slot].handle)
			continue;
		leave(h, h->table.table[slot].handle);
		kept += h->table.table[slot].handle->record > 0;
	}
	if (h->stopping)
		log_notice("kept %u handles in %s", kept,
			   state_path(state_of(h)));
	h->keeper.state = NULL;
	return true;
}

/* --- Reading -------------------------------------------------------------- */

static bool read_name(struct handles_kept *kept, const void *from, size_t size)
{
	if (size >= sizeof(kept->owner) || memchr(from, '\0', size))
		return false;
	memcpy(kept->owner, from, size);
	kept->owner[size] = '\0';
	return true;
}

static bool is_sound(const struct handle_record *record, size_t size)
{
	size_t needed =
		sizeof(*record) + record->owner_size + record->process_size;
	bool shared = record->flags & RECORD_SHARED;

	return needed <= size && record->description_size == size - needed &&
	       record->lifetime <= HANDLES_PERMANENT &&
	       record->slot < HANDLES_MAX && record->pins <= STATE_MAX_PINS &&
	       (record->owner_size > 0) == !shared &&
	       (!shared || record->lifetime == HANDLES_NODE) &&
	       (record->process_size > 0) ==
		       (record->lifetime == HANDLES_PROCESS);
}

bool handles_read_kept(const void *bytes, size_t size,
		       struct handles_kept *kept)
{
	struct handle_record record;
	const char *at = bytes;

	if (size < sizeof(record))
		return false;
	memcpy(&record, bytes, sizeof(record));
	at += sizeof(record);
	if (record.type != STATE_HANDLE || !is_sound(&record, size) ||
	    !read_name(kept, at, record.owner_size))
		return false;
	kept->slot = record.slot;
	memcpy(kept->random, record.random, sizeof(kept->random));
	kept->pin.random = random_of(record.random);
	kept->pin.number = 0;
	kept->part = record.part;
	kept->id = record.id;
	kept->pins = record.pins;
	kept->lifetime = (enum handles_lifetime)record.lifetime;
	kept->shared = record.flags & RECORD_SHARED;
	kept->taken_out = record.flags & RECORD_TAKEN_OUT;
	kept->creation = record.creation;
	kept->process = at + record.owner_size;
	kept->process_size = record.process_size;
	kept->description = kept->process + record.process_size;
	kept->description_size = record.description_size;
	return true;
}

bool handles_read_holding(const void *bytes, size_t size,
			  struct handles_kept *kept)
{
	struct holding_record record;

	if (size < sizeof(record))
		return false;
	memcpy(&record, bytes, sizeof(record));
	if (record.type != STATE_HOLDING || record.owner_size == 0 ||
	    size - sizeof(record) != record.owner_size ||
	    !read_name(kept, (const char *)bytes + sizeof(record),
		       record.owner_size))
		return false;
	kept->slot = record.slot;
	memcpy(kept->random, record.random, sizeof(kept->random));
	kept->creation = record.creation;
	return true;
}
