/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CPUS_H
#define CPUS_H

#define CPUS_ONLINE "/sys/devices/system/cpu/online"

/* How many processors run now; -errno. */
int cpus_online(void);

#endif
