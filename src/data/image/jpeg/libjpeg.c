// libjpeg as Pillow drives it: no data is made up where the file ends, and the inverse DCT is the caller's.

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jpeglib.h"
#include "jerror.h"
#include "jpegint.h"

// Coefficients and their quantisation in rows, to eight samples of each of eight rows, from a column on.
typedef void (*InverseDct)(const int16_t *, const uint16_t *, uint8_t *const *, uint32_t);

typedef struct {
  struct jpeg_decompress_struct file;  // first: libjpeg's callbacks get its address
  struct jpeg_error_mgr errors;
  struct jpeg_source_mgr source;
  jmp_buf failed;
  char message[JMSG_LENGTH_MAX];
  InverseDct inverse_dct;
} Picture;

static void fail(j_common_ptr file) {
  Picture *picture = (Picture *)file;
  file->err->format_message(file, picture->message);
  longjmp(picture->failed, 1);
}

static void ignore_message(j_common_ptr file) { (void)file; }

static void no_source(j_decompress_ptr file) { (void)file; }

// No more data: libjpeg gives up where it is.
static boolean fill(j_decompress_ptr file) {
  (void)file;
  return FALSE;
}

static void skip(j_decompress_ptr file, long count) {
  if (count <= 0) return;
  struct jpeg_source_mgr *source = file->src;
  size_t skipped = (size_t)count < source->bytes_in_buffer ? (size_t)count : source->bytes_in_buffer;
  source->next_input_byte += skipped;
  source->bytes_in_buffer -= skipped;
}

static void inverse_dct(j_decompress_ptr file, jpeg_component_info *component, JCOEFPTR block, JSAMPARRAY rows,
                        JDIMENSION column) {
  static const uint16_t none[DCTSIZE2];
  const JQUANT_TBL *table = component->quant_table;
  ((Picture *)file)->inverse_dct(block, table ? table->quantval : none, rows, column);
}

// Reads the header. `about` receives the width, the height, the number of components and the file's colour space;
// NULL and a message on failure.
void *tchvision_jpeg_open(const uint8_t *bytes, size_t size, InverseDct inverse, uint32_t about[4], char *message) {
  Picture *volatile picture = calloc(1, sizeof *picture); // read again after a longjmp
  if (!picture) return NULL;
  picture->inverse_dct = inverse;
  picture->file.err = jpeg_std_error(&picture->errors);
  picture->errors.error_exit = fail;
  picture->errors.output_message = ignore_message;
  if (setjmp(picture->failed)) {
    memcpy(message, picture->message, JMSG_LENGTH_MAX);
    jpeg_destroy_decompress(&picture->file);
    free(picture);
    return NULL;
  }
  jpeg_create_decompress(&picture->file);
  picture->source.next_input_byte = bytes;
  picture->source.bytes_in_buffer = size;
  picture->source.init_source = no_source;
  picture->source.fill_input_buffer = fill;
  picture->source.skip_input_data = skip;
  picture->source.resync_to_restart = jpeg_resync_to_restart;
  picture->source.term_source = no_source;
  picture->file.src = &picture->source;
  int found;
  do found = jpeg_read_header(&picture->file, FALSE);
  while (found == JPEG_HEADER_TABLES_ONLY);
  if (found != JPEG_HEADER_OK) ERREXIT(&picture->file, JERR_INPUT_EOF);
  about[0] = picture->file.image_width;
  about[1] = picture->file.image_height;
  about[2] = picture->file.num_components;
  about[3] = picture->file.jpeg_color_space;
  return picture;
}

// Decodes into rows of `channels` samples: 1 is grey, 3 RGB, 4 CMYK. 0 and a message on failure.
int tchvision_jpeg_read(void *opened, int channels, uint8_t *pixels, char *message) {
  Picture *picture = opened;
  struct jpeg_decompress_struct *file = &picture->file;
  if (setjmp(picture->failed)) {
    memcpy(message, picture->message, JMSG_LENGTH_MAX);
    return 0;
  }
  file->out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  if (!jpeg_start_decompress(file)) ERREXIT(file, JERR_INPUT_EOF);
  for (int i = 0; i < file->num_components; i++) {
    if (file->idct->inverse_DCT[i]) file->idct->inverse_DCT[i] = inverse_dct;
  }
  size_t stride = (size_t)file->output_width * channels;
  while (file->output_scanline < file->output_height) {
    JSAMPROW row = pixels + stride * file->output_scanline;
    if (jpeg_read_scanlines(file, &row, 1) == 0) ERREXIT(file, JERR_INPUT_EOF);
  }
  // Pillow does not mind if the end is missing, but if there is another frame instead.
  if (!jpeg_finish_decompress(file)) {
    int marker = file->unread_marker;
    if ((marker >= 0xC0 && marker <= 0xC3) || (marker >= 0xC9 && marker <= 0xCB)) ERREXIT(file, JERR_SOF_DUPLICATE);
  }
  return 1;
}

void tchvision_jpeg_close(void *opened) {
  Picture *picture = opened;
  if (!setjmp(picture->failed)) jpeg_destroy_decompress(&picture->file);
  free(picture);
}
