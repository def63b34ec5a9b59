/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HANDLERS_H
#define HANDLERS_H

#include "call/call.h"

/* Handlers of the table in functions.c, each in the file it is named after. */
bool map_functions_new(struct call *call);
bool map_functions_close(struct call *call);
bool map_functions_fd(struct call *call);
bool map_functions_open1(struct call *call);
bool map_functions_open2(struct call *call);
bool map_functions_type(struct call *call);
bool map_functions_pin(struct call *call);
bool map_functions_unpin(struct call *call);
bool map_functions_freeze(struct call *call);
bool type_functions_typed(struct call *call);
bool type_functions_types(struct call *call);
bool check_functions_check(struct call *call);
bool features_functions_features(struct call *call);
bool facts_functions_host(struct call *call);
bool host_functions_list(struct call *call);
bool host_functions_info(struct call *call);
bool host_functions_handles(struct call *call);
bool stats_functions_stats(struct call *call);
bool entry_functions_get2(struct call *call);
bool entry_functions_get3(struct call *call);
bool entry_functions_find(struct call *call);
bool entry_functions_is_key(struct call *call);
bool entry_functions_put(struct call *call);
bool entry_functions_insert(struct call *call);
bool entry_functions_update(struct call *call);
bool entry_functions_remove(struct call *call);
bool entry_functions_take(struct call *call);
bool entry_functions_push(struct call *call);
bool entry_functions_pop(struct call *call);
bool entry_functions_peek(struct call *call);
bool walk_functions_iterator(struct call *call);
bool walk_functions_next(struct call *call);
bool walk_functions_next_chunk(struct call *call);
bool walk_functions_drain_chunk(struct call *call);
bool whole_functions_keys(struct call *call);
bool whole_functions_values(struct call *call);
bool whole_functions_to_list(struct call *call);
bool whole_functions_size(struct call *call);
bool whole_functions_clear(struct call *call);
bool whole_functions_drain(struct call *call);
bool rank_functions_top(struct call *call);
bool rank_functions_sum(struct call *call);
bool many_functions_with(struct call *call);
bool many_functions_without(struct call *call);
bool many_functions_merge(struct call *call);
bool load_functions_object(struct call *call);
bool load_functions_instructions(struct call *call);
bool link_functions_attach(struct call *call);
bool link_functions_detach(struct call *call);
bool link_functions_update(struct call *call);
bool run_functions_run(struct call *call);
bool program_functions_open(struct call *call);
bool program_functions_pin(struct call *call);
bool program_functions_unpin(struct call *call);
bool program_functions_close(struct call *call);
bool program_functions_type(struct call *call);
bool program_functions_count(struct call *call);
bool loaded_functions_info(struct call *call);
bool loaded_functions_list(struct call *call);
bool loaded_functions_links(struct call *call);
bool loaded_functions_handles(struct call *call);
bool event_functions_subscribe(struct call *call);
bool event_functions_unsubscribe(struct call *call);
bool event_functions_subscriptions(struct call *call);
bool event_functions_push(struct call *call);

/* The options of this node as they are for the caller: a map. */
void features_functions_write_options(struct call *call);

#endif
