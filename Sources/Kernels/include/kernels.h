#ifndef QCONV_KERNELS_H
#define QCONV_KERNELS_H

#endif
