/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DFLAGS_H
#define DFLAGS_H

#include <stdint.h>

/*
 * Capabilities of a node, from the 'N' packet of the handshake, by the names
 * that OTP has for them. ei.h has none of these.
 */
#define DFLAG_DIST_MONITOR_NAME ((uint64_t)1 << 5)
#define DFLAG_EXIT_PAYLOAD ((uint64_t)1 << 22)
#define DFLAG_SPAWN ((uint64_t)1 << 32)
#define DFLAG_NAME_ME ((uint64_t)1 << 33)
#define DFLAG_ALIAS ((uint64_t)1 << 35)

#endif
