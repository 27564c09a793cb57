/* SPDX-License-Identifier: Apache-2.0 */
/* What the stand-in for NVIDIA's library tells a test, found with dlsym().
 *
 * It obeys the text file that FAKE_NVML_SCRIPT names, read anew at every call: lines of words, later ones win.
 *
 *     gpus 8                  how many there are (32 at most)
 *     latency-us 50000        how long each call takes
 *     latency-max-us 100000   with it: each another time, from the one to the other
 *     burn-us 50000           likewise, but spinning
 *     init 9                  the result of nvmlInit_v2; likewise `count 999`
 *     gpu 0 name NVIDIA H200  `gpu *` means all of them
 *     gpu 0 energy-mj 5000    the energy counter; without it the GPU has none (result 3)
 *     gpu 0 power-mw 250000   power, likewise
 *     gpu 0 draw-mw 300000    both of them live: the counter grows with the clock
 *     gpu 0 pci-bus 193       and pci-domain, pci-device; without it bus 16 for GPU 0, 17 for GPU 1, ...
 *     gpu 0 mig 7             MIG on, with 7 instances; 0: off; without it the GPU does not know MIG (result 3)
 *     gpu 0 profile 3         the profile that is the whole GPU; without it 4, of 98 SMs in 7 slices
 *     gpu 0 result 15         what every call about it returns (here: lost)
 *     gpu 0 energy-result 999 what one call returns; likewise power-, handle-, pci-, mig-, compute-, graphics- and
 *                             utilization-result; with instance- before it: about an instance
 *     mig 0 2 gi 5            instance 2 of GPU 0; also ci, sms, slices; without it GPU instance 7 + index, 0, 14, 1
 *     mig 0 2 gone 1          no instance has that index
 *     mig 0 2 anew 1          it was made anew: another handle
 *     process 0 - 4242 c 512 35   on GPU 0, no instance: pid, context (c, g or cg), MiB, percent of the SMs' time (-
 * for none) sample-us 5000000       when all samples were taken; without it: at the call */
#ifndef CARNOT_TESTS_SIM_FAKE_NVML_H
#define CARNOT_TESTS_SIM_FAKE_NVML_H

#define FAKE_NVML_SCRIPT "CARNOT_FAKE_NVML"

/* unsigned long fake_nvml_calls(int main_thread): calls so far, of any function, from the process's first thread or
 * from the others. */
typedef unsigned long (*fake_nvml_calls_fn)(int main_thread);

/* unsigned long fake_nvml_calls_of(const char *function): of one function, from any thread. */
typedef unsigned long (*fake_nvml_calls_of_fn)(const char *function);

/* int fake_nvml_users(void): inits less shutdowns. */
typedef int (*fake_nvml_users_fn)(void);

#endif
