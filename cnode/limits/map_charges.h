/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_CHARGES_H
#define MAP_CHARGES_H

#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bpf/map.h"
#include "limits/map_inner_sweep.h"
#include "state/state.h"

#define MAP_CHARGES_BUCKETS 65536
#define MAP_CHARGES_AT_ONCE 256 /* buckets between two pauses */

/*
 * The charge for a kernel map, by its id, with its open descriptors here;
 * shared by map_memory.c and the sweeps. A map made elsewhere is charged 0
 * bytes: it is listed while it is open, because it may hold maps made here.
 */
struct map_charge {
	struct map_memory *memory;
	uint32_t id;
	bool outer;  /* its values are maps */
	bool kept;   /* may outlive its handles: pinned, opened by its id, */
	bool inner;  /* or put into another map */
	bool spared; /* see map_memory_spare() */
	uint64_t bytes;
	uint32_t record;  /* if it outlives this process; else 0 */
	uint64_t seen;    /* last sweep that saw it, or ran while it was open */
	uint64_t scanned; /* last sweep that read its entries */
	LIST_HEAD(map_list, map) open;
	LIST_ENTRY(map_charge) entry;
};

LIST_HEAD(map_charge_list, map_charge);

struct map_memory {
	uint64_t max;
	struct state *state;  /* NULL: no charge outlives this process */
	pthread_mutex_t lock; /* guards used to buckets */
	uint64_t used;        /* bytes */
	uint64_t charges;     /* in all buckets */
	uint64_t sweep_at;    /* more charges than this start a sweep */
	uint64_t sweep;       /* number of the last sweep started, */
	uint64_t swept;       /* and of the last one finished */
	struct map_inner_sweep inner_sweep;
	atomic_bool stopped;  /* no caller waits for a sweep any more */
	pthread_cond_t ended; /* broadcast after each sweep */
	struct map_charge_list buckets[MAP_CHARGES_BUCKETS];
	/* held to read while a pin is opened, to write when a sweep ends; taken
	   before lock */
	pthread_rwlock_t opening;
};

bool map_charges_reserve(struct map_memory *memory, uint64_t bytes);
void map_charges_give_back(struct map_memory *memory, uint64_t bytes);

/*
 * Takes room for what is kept of a charge over a restart, which _write() fills
 * once the map and its bytes are known. 0 or -errno. map_charges_free() gives
 * it back, and frees a charge that was not added.
 */
int map_charges_take(struct map_memory *memory, struct map_charge *charge);
void map_charges_write(const struct map_memory *memory,
		       const struct map_charge *charge);
void map_charges_free(const struct map_memory *memory,
		      struct map_charge *charge);

/* Reads it again. False: it is no such record. */
bool map_charges_read(const void *bytes, size_t size,
		      struct map_charge *charge);

/* Call the rest with the lock held. */

/*
 * Call for each bucket in a loop over all: now and then, it releases the lock
 * for a moment.
 */
void map_charges_pause(struct map_memory *memory, size_t bucket);

struct map_charge_list *map_charges_bucket(struct map_memory *memory,
					   uint32_t id);
struct map_charge *map_charges_find(struct map_memory *memory, uint32_t id);

/* Owns charge from now on, as that of map: seen, but not scanned. */
void map_charges_add(struct map_memory *memory, struct map_charge *charge,
		     const struct map *map);

/* The same of one that says itself of which map it is. */
void map_charges_insert(struct map_memory *memory, struct map_charge *charge);

/* Gives its bytes back, and frees it. */
void map_charges_remove(struct map_charge *charge);

#endif
