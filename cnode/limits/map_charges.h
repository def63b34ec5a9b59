/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAP_CHARGES_H
#define MAP_CHARGES_H

#include <pthread.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bpf/map.h"

#define MAP_CHARGES_BUCKETS 65536
#define MAP_CHARGES_AT_ONCE 256 /* of them, gone through without a pause */

/*
 * What a map of the kernel counts with, by its id, and who has it open here;
 * map_memory.c and map_sweep.c share it. One that others made counts with
 * nothing, but is known while it is open, as maps may be in it.
 */
struct map_charge {
	struct map_memory *memory;
	uint32_t id;
	bool outer; /* maps may be in it */
	bool kept;  /* it may outlive those that are open: it was pinned,
		       opened by its id, */
	bool inner; /* or put into another map */
	uint64_t bytes;
	uint64_t seen; /* the last sweep that saw it, or that it was open in */
	uint64_t scanned; /* the last sweep that looked at what is in it */
	LIST_HEAD(map_list, map) open;
	LIST_ENTRY(map_charge) entry;
};

LIST_HEAD(map_charge_list, map_charge);

struct map_memory {
	uint64_t max;
	pthread_mutex_t lock; /* of all to buckets, but max */
	uint64_t used;
	uint64_t charges;    /* in all buckets */
	uint64_t sweep_at;   /* as many are too many */
	uint64_t sweep;      /* the number of the last one that has begun, */
	uint64_t swept;      /* and of the last one that is over */
	bool sweeping;       /* who opens an outer map looks at what is in it */
	bool unknown;        /* not all that is in maps could be looked at */
	uint32_t places;     /* so many may be looked at yet, one by one */
	atomic_bool stopped; /* nobody waits for a sweep any more */
	pthread_cond_t over; /* a sweep */
	struct map_charge_list buckets[MAP_CHARGES_BUCKETS];
	/* who opens what is pinned has it to read, the end of a sweep to write;
	   before lock */
	pthread_rwlock_t opening;
};

bool map_charges_reserve(struct map_memory *memory, uint64_t bytes);
void map_charges_give_back(struct map_memory *memory, uint64_t bytes);

/* The rest are called with the lock. */

/* Who goes through all buckets lets others have the lock from time to time. */
void map_charges_pause(struct map_memory *memory, size_t bucket);

struct map_charge_list *map_charges_bucket(struct map_memory *memory,
					   uint32_t id);
struct map_charge *map_charges_find(struct map_memory *memory, uint32_t id);

/* Takes over charge, for map. It counts as seen, and not as looked into. */
void map_charges_add(struct map_memory *memory, struct map_charge *charge,
		     const struct map *map);

/* Gives back what it counts with, and frees it. */
void map_charges_remove(struct map_charge *charge);

#endif
