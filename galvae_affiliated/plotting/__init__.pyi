# Licensed under a 3-clause BSD style license - see LICENSE.rst
from .adaptation import draw_adaptation as draw_adaptation
from .cutouts import draw_reconstructions as draw_reconstructions
from .cutouts import plot_cutouts as plot_cutouts
from .cutouts import plot_reconstructions as plot_reconstructions
from .field import plot_field as plot_field
from .gallery import caption as caption
from .gallery import check_picture as check_picture
from .gallery import draw_gallery as draw_gallery
from .gallery import gallery_rows as gallery_rows
from .latents import plot_latent_map as plot_latent_map
from .sweep import draw_sweep as draw_sweep
from .sweep import elbow as elbow
from .votes import plot_calibration as plot_calibration
from .votes import plot_votes as plot_votes
