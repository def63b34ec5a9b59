/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits on handles: in all and per node, apart for each class of objects.
 * A reservation keeps places for objects that the kernel is about to make.
 */
#include <errno.h>

#include "base/log.h"
#include "handles/handles_internal.h"

/* As the log names them: a, many, and the options that limit them. */
static const struct {
	const char *one;
	const char *many;
	const char *max;
	const char *max_per_node;
} texts[RESOURCE_CLASSES] = {
	[RESOURCE_MAPS] = { "a map", "maps", "--max-maps",
			    "--max-maps-per-node" },
	[RESOURCE_PROGRAMS] = { "a program or link", "programs and links",
				"--max-programs", "--max-programs-per-node" },
};

enum capacity handle_capacity(const struct handles *h,
			      const struct holder *holder,
			      enum resource_class class, uint32_t wanted)
{
	uint64_t all = (uint64_t)h->table.used[class] + h->reserved[class];
	uint64_t own =
		(uint64_t)holder->handles[class] + holder->reserved[class];

	/* what was kept may be more than the limits */
	if (wanted == 0)
		return CAPACITY_LEFT;
	if (all + wanted > h->max[class])
		return CAPACITY_NOT_OF_ANY;
	return own + wanted > h->max_per_node[class] ? CAPACITY_NOT_OF_NODE
						     : CAPACITY_LEFT;
}

static void refuse_any(const struct handles *h, const char *node,
		       enum resource_class class, uint32_t wanted)
{
	static struct log_limit lines[RESOURCE_CLASSES] = {
		[RESOURCE_MAPS] = LOG_LIMIT_OF("refused", "max_maps"),
		[RESOURCE_PROGRAMS] = LOG_LIMIT_OF("refused", "max_programs"),
	};

	if (wanted == 1)
		log_limited(&lines[class], LOG_WARNING,
			    "refused %s %s: there are %s %u already", node,
			    texts[class].one, texts[class].max, h->max[class]);
	else
		log_limited(&lines[class], LOG_WARNING,
			    "refused %s %u %s: with those that are there it is "
			    "more than %s %u",
			    node, wanted, texts[class].many, texts[class].max,
			    h->max[class]);
}

static void refuse_node(const struct handles *h, const char *node,
			enum resource_class class, uint32_t wanted)
{
	static struct log_limit lines[RESOURCE_CLASSES] = {
		[RESOURCE_MAPS] = LOG_LIMIT_OF("refused", "max_maps_per_node"),
		[RESOURCE_PROGRAMS] =
			LOG_LIMIT_OF("refused", "max_programs_per_node"),
	};

	if (wanted == 1)
		log_limited(&lines[class], LOG_WARNING,
			    "refused %s %s: it has %s %u already", node,
			    texts[class].one, texts[class].max_per_node,
			    h->max_per_node[class]);
	else
		log_limited(&lines[class], LOG_WARNING,
			    "refused %s %u %s: with those that it has it is "
			    "more than %s %u",
			    node, wanted, texts[class].many,
			    texts[class].max_per_node, h->max_per_node[class]);
}

static void refuse_holders(const struct handles *h, const char *node,
			   enum resource_class class)
{
	static struct log_limit lines = LOG_LIMIT_OF("refused", "max_holders");

	log_limited(&lines, LOG_WARNING,
		    "refused %s %s that others hold: nodes hold %llu, %d times "
		    "--max-maps, already",
		    node, texts[class].one, (unsigned long long)h->max_holdings,
		    HANDLES_HOLDERS_OF_EACH);
}

int handle_capacity_refuse(const struct handles *h, const char *node,
			   enum resource_class class, uint32_t wanted,
			   enum capacity found)
{
	if (found == CAPACITY_NOT_OF_ANY)
		refuse_any(h, node, class, wanted);
	else if (found == CAPACITY_NOT_OF_NODE)
		refuse_node(h, node, class, wanted);
	else if (found == CAPACITY_NOT_OF_HOLDERS)
		refuse_holders(h, node, class);
	return found == CAPACITY_LEFT ? 0 : -EMFILE;
}

int handles_check_capacity(struct handles *h, const struct handles_owner *owner,
			   enum resource_class class, uint32_t wanted)
{
	enum capacity found;

	pthread_rwlock_rdlock(&h->lock);
	found = handle_capacity(h, owner->holder, class, wanted);
	pthread_rwlock_unlock(&h->lock);
	return handle_capacity_refuse(h, owner->holder->node, class, wanted,
				      found);
}

/* --- Reservations ------------------------------------------------------- */

static void change(struct handles *h, struct holder *holder,
		   enum resource_class class, uint32_t by)
{
	h->reserved[class] += by;
	holder->reserved[class] += by;
}

bool handle_capacity_use(struct handles *h, struct holder *holder,
			 struct handles_reservation *reservation,
			 enum resource_class class)
{
	if (!reservation || reservation->left[class] == 0)
		return false;
	reservation->left[class]--;
	change(h, holder, class, UINT32_MAX); /* one less */
	return true;
}

int handles_reserve(struct handles *h, struct handles_owner *owner,
		    struct handles_reservation *reservation)
{
	uint32_t *left = reservation->left;
	enum capacity found = CAPACITY_LEFT;
	int class;

	pthread_rwlock_wrlock(&h->lock);
	for (class = 0; class < RESOURCE_CLASSES; class ++) {
		found = handle_capacity(h, owner->holder,
					(enum resource_class) class,
					left[class]);
		if (found != CAPACITY_LEFT)
			break;
	}
	for (int i = 0; i < RESOURCE_CLASSES && found == CAPACITY_LEFT; i++)
		change(h, owner->holder, (enum resource_class)i, left[i]);
	pthread_rwlock_unlock(&h->lock);
	if (found == CAPACITY_LEFT)
		return 0;
	handle_capacity_refuse(h, owner->holder->node,
			       (enum resource_class) class, left[class], found);
	*reservation = (struct handles_reservation){ .left = { 0 } };
	return -EMFILE;
}

#define SMALL_PART 16

void handles_reserve_guess(struct handles *h, struct handles_owner *owner,
			   struct handles_reservation *reservation)
{
	uint32_t *left = reservation->left;

	pthread_rwlock_wrlock(&h->lock);
	for (int i = 0; i < RESOURCE_CLASSES; i++) {
		if (handle_capacity(h, owner->holder, (enum resource_class)i,
				    left[i] * SMALL_PART) != CAPACITY_LEFT)
			left[i] = 0;
		change(h, owner->holder, (enum resource_class)i, left[i]);
	}
	pthread_rwlock_unlock(&h->lock);
}

void handles_unreserve(struct handles *h, struct handles_owner *owner,
		       struct handles_reservation *reservation)
{
	pthread_rwlock_wrlock(&h->lock);
	for (int i = 0; i < RESOURCE_CLASSES; i++)
		change(h, owner->holder, (enum resource_class)i,
		       -reservation->left[i]);
	pthread_rwlock_unlock(&h->lock);
	*reservation = (struct handles_reservation){ .left = { 0 } };
}
