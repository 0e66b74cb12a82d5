"""Image sets: finding and labelling images, and turning them into the input of a model.

What a model computes from them does not belong here.

definitions                the named sets (`imagenet_val`, `demo`) and where each is searched for
opening                    from a name or a path to an `ImageSet`
folders, archives, parquet where the bytes of the images are
arrangement, labels, companions, synsets, texts
                           which files are images, and which class each belongs to
image_set, contents        the set itself: subset, digest, overlap, batches
preprocessing              how a checkpoint wants its images: resolution, crop, mean and standard deviation
decoding, transform        from bytes to RGB, and from RGB to the square that the model sees
batches                    many images at a time, in order
corruptions                bad pictures on purpose, to see what a model makes of them
noise                      random values in the shape of images
"""
