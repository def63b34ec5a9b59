/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FORGET_H
#define FORGET_H

#include "base/exit_status.h"

/*
 * Drops all that is kept in a folder of --keep, and says what it was. Links are
 * detached by that, unless they have another pin. Errors have been logged.
 */
enum exit_status forget_all(const char *path);

#endif
